from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mudrock_cli.cli import app
from mudrock_cli.image.mask import PhaseMask, write_mask
from mudrock_cli.image.types import PixelSize
from mudrock_cli.report.figures import split_objects
from mudrock_cli.report.tables import read_tables


def test_the_rose_and_the_summary_speak_of_the_same_objects(tmp_path: Path) -> None:
    phases = np.zeros((300, 300), np.uint8)
    for row in range(10, 280, 20):
        phases[row : row + 2, 20:120] = 2  # resolved, along the rows
        phases[row : row + 4, 150:290:6] = 2  # of four pixels, along the columns: many more
    mask = PhaseMask.from_array("a", phases, PixelSize(10, "test"))
    write_mask(tmp_path / "a.tif", mask)
    table = tmp_path / "report.parquet"
    words = ["stats", str(tmp_path / "a.tif"), "--out", str(table)]
    assert CliRunner().invoke(app, words).exit_code == 0
    tables = read_tables(table)
    *_, mean = split_objects(tables)["a", "pore"].orient()
    assert tables.images[0]["pore_orientation_deg"] == pytest.approx(0, abs=1e-6)
    assert np.degrees(mean.angle) % 180 == pytest.approx(0, abs=1e-6)
    assert tables.images[0]["pore_orientation_strength"] == pytest.approx(mean.strength)
    assert mean.strength == pytest.approx(1)
