"""The tables that users keep: golden schema, round trip, refusals, nothing half-written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import PixelSize
from mudrock_cli.measure import tables
from mudrock_cli.measure.schema import INSTANCES, SUMMARY, VERSION, Column
from mudrock_cli.measure.summary import MeasuredImage, measure_image
from mudrock_cli.measure.tables import ReportWriter, check_pair, read_table, summary_path

GOLDEN = Path(__file__).with_name("golden_schema.json")
UNIT_ENDINGS = {"µm": "_um", "µm²": "_um2", "px": "_px", "nm": "_nm", "°": "_deg", "phi": "_phi"}


@pytest.fixture(scope="module")
def image() -> MeasuredImage:
    phases = np.random.default_rng(0).choice([0, 1, 2], (40, 50), p=[0.6, 0.2, 0.2])
    mask = PhaseMask.from_array("a", phases.astype(np.uint8), provenance={"method": "test"})
    return measure_image("a", mask, PixelSize(100, "test"), 0.5)


def write(path: Path, *images: MeasuredImage, options: dict[str, Any] | None = None) -> None:
    with ReportWriter(path, options or {}) as writer:
        for each in images:
            writer.add_instances(each.instances)
            writer.add_summary(each.row)


def test_the_schema_is_the_golden_one(image: MeasuredImage, tmp_path: Path) -> None:
    write(tmp_path / "r.parquet", image)
    found: dict[str, Any] = {"version": VERSION}
    for kind, path in (("instances", "r.parquet"), ("summary", "r.summary.parquet")):
        schema = pq.read_schema(tmp_path / path)
        found[kind] = {
            field.name: f"{field.type} {(field.metadata or {}).get(b'unit', b'').decode()}".rstrip()
            for field in schema
        }
    # After a wanted change, raise VERSION if a name, type or meaning changed, and write the file
    # anew: GOLDEN.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    assert found == json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("columns", [INSTANCES, SUMMARY])
def test_every_column_says_what_it_is(columns: tuple[Any, ...]) -> None:
    names = [column.name for column in columns]
    assert len(set(names)) == len(names)
    for column in columns:
        assert len(column.meaning) > 8
        assert column.name.endswith(UNIT_ENDINGS.get(column.unit, "")), column.name
        if column.type in ("int", "uint", "float", "floats"):
            assert column.unit, column.name


def test_tables_come_back(image: MeasuredImage, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "r.parquet"
    write(path, image, image, options={"min_silt_um": 0.5})
    table, facts = read_table(path, "instances")
    assert facts["options"] == {"min_silt_um": 0.5}
    assert facts["software"] == "mudrock"
    assert table.num_rows == 2 * image.instances.num_rows
    half = table.slice(image.instances.num_rows).to_pylist()
    assert half == image.instances.slice().to_pylist()
    assert table.schema.field("ecd_um").metadata[b"formula"] == b"sqrt(4 A / pi)"
    summary, _ = read_table(summary_path(path), "summary")
    assert summary_path(path).name == "r.summary.parquet"
    assert summary_path(Path("R.v2.CSV")).name == "R.v2.summary.CSV"
    row = summary.to_pylist()[1]
    assert row["porosity"] == image.row["porosity"]
    assert row["pore_two_point"] == list(image.row["pore_two_point"])
    assert row["group"] is None
    assert json.loads(row["provenance"]) == {"method": "test"}


def test_the_same_images_give_the_same_bytes(image: MeasuredImage, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name / "r.parquet", image)
    for name in ("r.parquet", "r.summary.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_rows_made_as_they_are_written_give_the_bytes_of_a_table(
    image: MeasuredImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_GROUP_ROWS", 100)
    few = image.instances.slice(3, 30)
    for name, rows in (("made", image.instances), ("whole", image.instances.slice())):
        with ReportWriter(tmp_path / f"{name}.parquet", {}) as writer:
            writer.add_instances(few)
            writer.add_instances(rows)
            writer.add_instances(few)
    made, whole = ((tmp_path / f"{name}.parquet") for name in ("made", "whole"))
    assert made.read_bytes() == whole.read_bytes()
    sizes = [pq.ParquetFile(made).metadata.row_group(group).num_rows for group in range(2)]
    assert sizes == [100, 100]
    joined = pa.concat_tables([few, image.instances.slice(), few]).to_pylist()
    assert pq.read_table(made).to_pylist() == joined


def test_pandas_reads_nulls_and_categories(image: MeasuredImage, tmp_path: Path) -> None:
    import pandas as pd

    write(tmp_path / "r.parquet", image)
    frame = pd.read_parquet(tmp_path / "r.parquet")
    assert frame["phase"].dtype == "category"
    assert frame.loc[frame["phase"] == "silt", "host"].isna().all()
    assert frame.loc[frame["phase"] == "pore", "host"].notna().all()
    assert not np.isinf(frame.select_dtypes("float")).any(axis=None)


def interrupt(path: Path, image: MeasuredImage) -> None:
    with ReportWriter(path, {}) as writer:
        writer.add_instances(image.instances)
        raise KeyboardInterrupt


def test_an_error_leaves_the_earlier_report(image: MeasuredImage, tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    write(path, image)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(KeyboardInterrupt):
        interrupt(path, image)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MudrockError, match="cannot be written"):
        ReportWriter(tmp_path / "file" / "r.parquet", {})


def test_a_full_disk_is_one_line(
    image: MeasuredImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", refuse)
    with pytest.raises(MudrockError, match="No space left on device"):
        write(tmp_path / "r.parquet", image)
    assert list(tmp_path.iterdir()) == []


def test_tables_of_two_runs_are_not_taken_for_one(image: MeasuredImage, tmp_path: Path) -> None:
    for name, count in (("one", 1), ("two", 2)):
        write(tmp_path / name / "r.parquet", *[image] * count)
        _, facts = read_table(tmp_path / name / "r.summary.parquet", "summary")
        check_pair(tmp_path / name / "r.parquet", facts)
    check_pair(tmp_path / "one" / "r.parquet", {})  # a summary that does not tell
    with pytest.raises(MudrockError, match="the summary beside it is of another run"):
        check_pair(tmp_path / "one" / "r.parquet", facts)


def test_columns_that_an_older_table_lacks_are_null(
    image: MeasuredImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.parquet"
    write(path, image)
    later = (*INSTANCES, Column("later_um", "float", "µm", "what came later", since=VERSION + 1))
    monkeypatch.setattr("mudrock_cli.measure.schema.VERSION", VERSION + 1)
    monkeypatch.setitem(tables._COLUMNS, "instances", later)
    table, _ = read_table(path, "instances")
    assert table["later_um"].null_count == table.num_rows == image.instances.num_rows


def test_tables_of_version_1_are_read() -> None:
    place = Path(__file__).parent / "version_1" / "report_of_0.1.parquet"
    instances, _ = read_table(place, "instances")
    summary, facts = read_table(summary_path(place), "summary")
    check_pair(place, facts)
    assert facts["schema_version"] == 1
    assert instances.num_rows > 50
    row = summary.to_pylist()[0]
    assert row["porosity_low"] < row["porosity"] < row["porosity_high"]
    assert row["porosity_within_field_low"] is None
    assert set(summary.column_names) >= {column.name for column in SUMMARY}


def refuse_table(path: Path, match: str, kind: str = "instances") -> None:
    with pytest.raises(MudrockError, match=match):
        read_table(path, kind)


def test_other_tables_are_refused(image: MeasuredImage, tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    write(path, image)
    refuse_table(summary_path(path), "a table of summary, not of instances")
    table, facts = read_table(path, "instances")

    pq.write_table(table.drop_columns(["area_um2"]), path)
    refuse_table(path, "the column area_um2 is missing")

    index = table.schema.get_field_index("area_px")
    pq.write_table(table.set_column(index, "area_px", table["area_px"].cast(pa.int32())), path)
    refuse_table(path, "the column area_px is int32, not int64")

    other = {"mudrock": json.dumps(facts | {"schema_version": VERSION + 1})}
    pq.write_table(table.replace_schema_metadata(other), path)
    refuse_table(path, f"version {VERSION + 1} of the schema, not {VERSION}")

    other = {"mudrock": json.dumps(facts | {"schema_version": "1"})}
    pq.write_table(table.replace_schema_metadata(other), path)
    refuse_table(path, "version 1 of the schema")

    pq.write_table(table.replace_schema_metadata({"mudrock": "[1]"}), path)
    refuse_table(path, "no table of mudrock stats")
    pq.write_table(table.replace_schema_metadata(None), path)
    refuse_table(path, "no table of mudrock stats")
    path.write_bytes(b"PAR1 but not really")
    refuse_table(path, "no Parquet table")
    refuse_table(tmp_path / "absent.parquet", "no Parquet table")


@pytest.mark.parametrize("ending", [".csv", ".xlsx"])
def test_other_formats_hold_the_same_columns_and_rows(
    image: MeasuredImage, tmp_path: Path, ending: str
) -> None:
    extra = [Column("sample", "category", "", "sample"), Column("depth_m", "float", "", "depth")]
    values = {"sample": '=1+1, "A"', "depth_m": 1200.5}
    frames = {}
    for path in (tmp_path / "r.parquet", tmp_path / f"r{ending}"):
        with ReportWriter(path, {}, extra) as writer:
            writer.add_instances(image.instances, values)
            writer.add_summary(image.row | values)
        read = {".parquet": pd.read_parquet, ".csv": pd.read_csv, ".xlsx": pd.read_excel}
        frames[path.suffix] = [read[path.suffix](each) for each in (path, summary_path(path))]
    made = {path.name for path in tmp_path.glob(f"*{ending}")}
    assert made == {f"r{ending}", f"r.summary{ending}"}
    for there, here in zip(frames[".parquet"], frames[ending], strict=True):
        assert list(here.columns) == list(there.columns)
        assert len(here) == len(there) > 0
        assert list(here["sample"]) == list(there["sample"])
        assert list(here["depth_m"]) == [1200.5] * len(here)
    objects, summary = frames[ending]
    assert list(objects["ecd_um"]) == pytest.approx(list(frames[".parquet"][0]["ecd_um"]))
    assert json.loads(summary["window_side_um"][0]) == pytest.approx(image.row["window_side_um"])
    assert summary["porosity"][0] == pytest.approx(image.row["porosity"], rel=1e-14)
    assert summary["other_group"].isna().all()
    if ending == ".xlsx":
        meanings = pd.read_excel(tmp_path / "r.xlsx", sheet_name="columns").set_index("column")
        assert meanings.loc["ecd_um", "unit"] == "µm"


def test_an_excel_sheet_has_an_end(
    image: MeasuredImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_SHEET_ROWS", 1)
    with (
        pytest.raises(MudrockError, match=r"Excel sheet ends at 1 row"),
        ReportWriter(tmp_path / "r.xlsx", {}) as writer,
    ):
        writer.add_instances(image.instances)
    assert list(tmp_path.iterdir()) == []
