"""The glossary is what the schema says; run this file to write it anew after a wanted change."""

from collections.abc import Sequence
from pathlib import Path

from mudrock_cli.measure.schema import INSTANCES, SCORES, SUMMARY, Column

GLOSSARY = Path(__file__).resolve().parents[2] / "examples" / "glossary.md"

HEAD = """\
# Glossary: what every column means

`mudrock stats` writes `report.parquet` (a row per grain and pore) and `report.summary.parquet` (a
row per image, per group, per pair of groups, and one pooled); `mudrock evaluate` writes
`scores.parquet`. Each column carries its unit, meaning, formula and source in its own metadata;
this page is made from the same text. A name ends in its unit; shares and ratios have none.

**Field**: the piece of rock that one micrograph shows. **Rock**: what the fields were taken from.

**Interval for the rock** (`*_low`, `*_high`): from two fields on, 95 % of such intervals hold the
figure of the rock, if the fields were placed without looking. It comes from how the fields
differ, so it is wide for two and three. One field has none.

**Interval within the field** (`*_within_field_low`, `*_within_field_high`): what chance alone makes
of this one field, had its grains and pores fallen elsewhere. It does not speak for the rock: the
next field may lie far outside.

**Silt**: silt of the mask whose ECD (where the frame cuts it, of its whole) is above
`min_silt_um`; smaller silt counts as clay in every column but `mask_silt_fraction`. **Clay**: all
that is neither pore nor silt, organic matter and pyrite too.

**Pores**: those whose ECD is `min_pore_um` or more (of all, if that is 0). `porosity` and what is
measured of pixels (`pore_two_point`, `pore_boundary_per_um`, `pore_variation`, `pore_window_um`)
hold smaller ones too. With one `min_pore_um` above `resolvable_ecd_um` of all images, micrographs
of different pixel sizes count the same pores.

**ECD**: diameter of the circle with the same area. **Corrected**: for grains cut by the frame, with
`frame_weight`.

**Nothing seen**: where a field shows no silt or no pore, the upper limit is what could be there and
be missed in one of twenty such fields: three grains' worth of twice `min_silt_um`, or three pores'
of 1 µm, over the area that would have shown them.
"""


def write_table(title: str, columns: Sequence[Column]) -> str:
    """Return the columns of a table as Markdown."""
    lines = [
        f"\n## {title}\n",
        "| column | unit | meaning | formula | source |",
        5 * "| --- " + "|",
    ]
    for column in columns:
        cells = f"`{column.name}`", column.unit, column.meaning, column.formula, column.citation
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write_glossary() -> str:
    """Return the page."""
    tables = {
        "Instances (`report.parquet`)": INSTANCES,
        "Summary (`report.summary.parquet`)": SUMMARY,
        "Scores (`scores.parquet`)": SCORES,
    }
    return HEAD + "".join(write_table(title, columns) for title, columns in tables.items())


def test_the_glossary_says_what_the_schema_says() -> None:
    assert GLOSSARY.read_text(encoding="utf-8") == write_glossary()


if __name__ == "__main__":
    GLOSSARY.write_text(write_glossary(), encoding="utf-8")
