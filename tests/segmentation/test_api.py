"""The functions for notebooks give what the commands give."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
from phantom import make_phantom
from PIL import Image
from typer.testing import CliRunner

import mudrock_cli as mudrock
from mudrock_cli.cli import app
from mudrock_cli.deeplab.model import TrainedModel
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.mask import PhaseMask, write_mask
from mudrock_cli.image.types import PixelSize

ROOT = Path(__file__).resolve().parents[2]
Grey = np.ndarray[tuple[int, int], np.dtype[np.uint8]]


@pytest.fixture(scope="module")
def grey() -> Grey:
    return make_phantom(4, (240, 260)).grey


@pytest.fixture
def file(tmp_path: Path, grey: Grey) -> Path:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, grey, imagej=True, resolution=(100, 100), metadata={"unit": "um"})
    return path


def run(*words: object) -> None:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output


def test_segment_is_the_command(
    file: Path, grey: Grey, tiny_model: TrainedModel, tmp_path: Path
) -> None:
    run("segment", file, "--out", tmp_path / "m", "--model", tiny_model.path)
    written = mudrock.open_mask(tmp_path / "m" / "a.tif")
    for mask in (
        mudrock.segment(file, model=tiny_model.path),
        mudrock.segment(grey, model=tiny_model, pixel_size=10.0),
        mudrock.segment(np.repeat(grey[..., None], 3, 2), model=tiny_model, pixel_size="10nm"),
    ):
        np.testing.assert_array_equal(mask.phases(), written.phases())
        assert mask.pixel_size is not None
        assert mask.pixel_size.nm == pytest.approx(10)
        results = mask.provenance["results"]
        assert results["pore_fraction"] == written.provenance["results"]["pore_fraction"]
        assert mask.provenance["model"]["sha256"] == tiny_model.digest


def test_deep_images_are_stretched_as_those_of_files_are(
    grey: Grey, tiny_model: TrainedModel, tmp_path: Path
) -> None:
    deep = grey.astype(np.uint16) * 200 + 1000
    tifffile.imwrite(tmp_path / "deep.tif", deep)
    expected = mudrock.open_micrograph(tmp_path / "deep.tif").grey()
    assert expected.min() < 10
    assert expected.max() > 245
    for array in (deep, deep.astype(np.float32)):
        np.testing.assert_array_equal(mudrock.open_micrograph(array).grey(), expected)


@pytest.mark.filterwarnings("ignore:.* hardly holds a grain:UserWarning")
def test_groundtruth_is_the_command(file: Path, grey: Grey, tmp_path: Path) -> None:
    for recipe in ("groundtruth", "exact"):
        run("groundtruth", file, "--out", tmp_path / recipe, "--recipe", recipe)
        written = mudrock.open_mask(tmp_path / recipe / "a.tif")
        mask = mudrock.groundtruth(grey, recipe=recipe, pixel_size=PixelSize(10, "me"))
        np.testing.assert_array_equal(mask.phases(), written.phases())
        assert mask.provenance["recipe"] == written.provenance["recipe"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_stats_are_the_tables(file: Path, tmp_path: Path) -> None:
    run("groundtruth", file, "--out", tmp_path / "m")
    report = tmp_path / "report.parquet"
    options = ("--min-silt", "0.5um", "--min-pore", "80nm", "--split")
    run("stats", tmp_path / "m", "--out", report, *options)
    for masks in (
        tmp_path / "m",
        [tmp_path / "m" / "a.tif"],
        mudrock.open_mask(tmp_path / "m" / "a.tif"),
    ):
        instances, summary = mudrock.stats(masks, min_silt_um=0.5, min_pore="80nm", split=True)
        wanted = pq.read_table(report).to_pandas()
        assert len(wanted) > 10
        assert set(wanted["counted_as"]) == {"pore", "none"}
        assert instances.equals(wanted)
        wanted = pq.read_table(tmp_path / "report.summary.parquet").to_pandas()
        assert list(summary.columns) == list(wanted.columns)
        assert wanted["silt_regions"].notna().all()
        assert list(summary.dtypes) == list(wanted.dtypes)
        assert list(summary.scope) == list(wanted.scope) == ["image", "pooled"]
        own = ["mask", "mask_sha256", "micrograph"]  # how the report refers to files
        assert summary.drop(columns=own).equals(wanted.drop(columns=own))


def test_a_corrected_mask_counts_once_and_with_its_pixel_size(tmp_path: Path) -> None:
    phases = np.zeros((60, 80), np.uint8)
    phases[20:40, 20:40] = 2
    write_mask(tmp_path / "a.tif", PhaseMask.from_array("a", phases, PixelSize(100.0, "test")))
    phases[20:40, 40:60] = 2
    Image.fromarray(phases).save(tmp_path / "a.png")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        instances, summary = mudrock.stats(tmp_path)
    assert any("the corrected a.png is taken" in str(one.message) for one in told)
    assert list(summary["scope"]) == ["image", "pooled"]
    assert instances.area_um2.tolist() == pytest.approx([8.0])


def test_what_a_file_holds_beside_its_first_page_is_told(tmp_path: Path, grey: Grey) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.stack([grey, grey]), photometric="minisblack")
    with pytest.warns(UserWarning, match="a stack of 2 pages") as told:
        mudrock.open_micrograph(path)
    assert told[0].filename == __file__
    with pytest.warns(UserWarning, match="hardly holds a grain"):
        mudrock.groundtruth(grey, pixel_size="5nm")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_stats_take_arrays_of_one_name_and_groups() -> None:
    rng = np.random.default_rng(0)
    masks = [np.kron(rng.choice([0, 1, 2], (20, 20)), np.ones((9, 9))).astype("u1") for _ in "ab"]
    instances, summary = mudrock.stats(masks, pixel_size="50nm")
    assert set(instances.image) == {"array", "array (2)"}
    assert list(summary.scope) == ["image", "image", "pooled"]
    named = [PhaseMask.from_array(name, mask) for name, mask in zip("xy", masks, strict=True)]
    groups = {"x": "deep", "y": "shallow"}
    _, summary = mudrock.stats(named, pixel_size=50, groups=groups)
    assert list(summary.group.dropna()) == ["deep", "shallow", "deep", "shallow", "deep"]


def test_warnings_point_at_the_callers_line(file: Path, tiny_model: TrainedModel) -> None:
    with pytest.warns(UserWarning, match="it is resampled 2 times") as caught:
        mudrock.segment(file, model=tiny_model, pixel_size=20)
    assert Path(caught[0].filename).name == "test_api.py"


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda: mudrock.open_micrograph("nowhere.tif"), "nowhere.tif"),
        (lambda: mudrock.open_micrograph(np.zeros(5)), r"no micrograph: float64 of shape \(5,\)"),
        (lambda: mudrock.open_micrograph(np.zeros((5, 5), "?")), "no micrograph: bool"),
        (lambda: mudrock.open_mask(np.zeros((5, 5))), "a mask is uint8"),
        (lambda: mudrock.open_mask(np.full((5, 5), 3, np.uint8)), "of 0, 1, 2 and 255"),
        (lambda: mudrock.groundtruth(np.zeros((50, 50), np.uint8)), "no pixel size"),
        (lambda: mudrock.groundtruth(np.zeros((99, 99), np.uint8), pixel_size=40), "same grey"),
        (lambda: mudrock.segment(np.zeros((50, 50), np.uint8), pixel_size=10), "same grey"),
        (lambda: mudrock.stats(np.zeros((50, 50), np.uint8)), "the pixel size is not known"),
        (lambda: mudrock.stats([]), "no mask to measure"),
        (
            lambda: mudrock.stats(np.zeros((9, 9), "u1"), pixel_size=9, groups={"b": "B"}),
            "called b",
        ),
        (lambda: mudrock.segment(np.zeros((50, 50), "u1"), pixel_size="10 parsec"), "10 parsec"),
        (lambda: mudrock.segment(np.zeros((50, 50), "u1"), pixel_size=-3), "impossible"),
        (lambda: mudrock.load_model("nobody"), "no model of this name"),
    ],
)
def test_what_cannot_be_done_is_told(act: object, told: str) -> None:
    with pytest.raises(MudrockError, match=told):
        act()  # type: ignore[operator]


def test_a_name_that_is_none_and_the_names_that_are() -> None:
    with pytest.raises(AttributeError, match="no attribute 'segmemt'"):
        _ = mudrock.segmemt  # type: ignore[attr-defined]
    assert set(mudrock.__all__) <= set(dir(mudrock))


def test_importing_the_package_loads_nothing() -> None:
    code = (
        "import sys, mudrock_cli; print(sorted({'numpy', 'openvino', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
