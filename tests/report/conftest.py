"""Tables and pages of two drawn fields, made once by the command line itself."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mudrock_cli.cli import app
from mudrock_cli.image.mask import PhaseMask, write_mask
from mudrock_cli.image.types import PixelSize

HOSTILE = "a <b onclick=alert(1)> & 'c' \"d\""
"""A name that a page must show, and never run."""


@dataclass(frozen=True)
class Field:
    """A folder with masks, micrographs, tables and the page."""

    folder: Path
    table: Path
    page: Path


def draw_phases(seed: int, shape: tuple[int, int] = (300, 400)) -> np.ndarray:
    """Draw oval pores and silt grains that neither touch nor leave the frame, and a data bar."""
    rng = np.random.default_rng(seed)
    phases = np.zeros(shape, np.uint8)
    row, column = np.mgrid[: shape[0], : shape[1]]
    for top in range(20, shape[0] - 50, 40):
        for left in range(20, shape[1] - 20, 40):
            phase = 1 if rng.random() < 0.25 else 2
            radius = rng.uniform(12, 17) if phase == 1 else rng.uniform(2, 9)
            long = (row - top) + rng.uniform(-0.5, 0.5) * (column - left)
            phases[long**2 + (column - left) ** 2 <= radius**2] = phase
    phases[-20:] = 255
    return phases


@pytest.fixture(scope="session")
def field(tmp_path_factory: pytest.TempPathFactory) -> Field:
    """Two images, one of a hostile name, of different pixel sizes; micrographs for one."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("field")
    (folder / "grey").mkdir()
    for seed, (name, nm) in enumerate({"plain": 100.0, HOSTILE: 120.0}.items()):
        phases = draw_phases(seed)
        mask = PhaseMask.from_array(name, phases, PixelSize(nm, "test"), {"method": "groundtruth"})
        write_mask(folder / "masks" / f"{name}.tif", mask)
        if name == "plain":
            grey = np.array([120, 200, 30, *[0] * 252, 90], np.uint8)[phases]
            Image.fromarray(grey).save(folder / "grey" / f"{name}.png")
    table, page = folder / "report.parquet", folder / "report.html"
    run("stats", folder / "masks", "--out", table, "--micrographs", folder / "grey")
    run("report", table, "--out", page, "--figures", folder / "figures")
    return Field(folder, table, page)


def run(*arguments: object) -> str:
    """Run a subcommand that must succeed, and return what it said."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output
