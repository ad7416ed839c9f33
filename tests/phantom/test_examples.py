"""The examples are what the phantom draws for the recorded seed, and their README is right."""

import hashlib
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from phantom import Phantom, redraw

from mudrock_cli.files import find_inputs
from mudrock_cli.image.mask import PhaseMask, open_mask
from mudrock_cli.image.micrograph import Micrograph, open_micrograph
from mudrock_cli.image.types import Phase

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = ("bedded", "silty", "tight")


@cache
def load(name: str) -> tuple[Micrograph, PhaseMask, Phantom]:
    truth = open_mask(EXAMPLES / "truth" / f"{name}.tif")
    return open_micrograph(EXAMPLES / f"{name}.tif"), truth, redraw(truth)


def test_a_batch_finds_the_micrographs_and_leaves_the_truth() -> None:
    assert [str(item.relative) for item in find_inputs([str(EXAMPLES)])] == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_pictures_and_truth_are_redrawn_from_the_recorded_seed(name: str) -> None:
    micrograph, truth, again = load(name)
    box = micrograph.specimen
    assert box.shape == again.grey.shape
    phases = truth.phases()
    # libraries may round a vertex or a grey differently from one version to the next
    assert (phases[box.rows, box.columns] == again.phases).mean() > 0.999
    grey = micrograph.read(box.rows, box.columns)
    assert np.abs(grey.astype(float) - again.grey).mean() < 0.5
    assert (phases == Phase.VOID).sum() == phases.size - again.phases.size


@pytest.mark.parametrize(
    ("name", "nm", "source"),
    [("bedded", 10.0, "ImageJ"), ("silty", 12.0, "FEI tag 34682"), ("tight", 10.0, "OME")],
)
def test_pixel_size_is_read_from_the_file(name: str, nm: float, source: str) -> None:
    micrograph, truth, _ = load(name)
    assert micrograph.pixel_size is not None
    assert truth.pixel_size is not None
    assert micrograph.pixel_size.nm == pytest.approx(nm)
    assert source in micrograph.pixel_size.source
    assert truth.pixel_size.nm == pytest.approx(nm)


@pytest.mark.parametrize("name", NAMES)
def test_truth_belongs_to_its_picture(name: str) -> None:
    stored = (EXAMPLES / f"{name}.tif").read_bytes()
    assert hashlib.sha256(stored).hexdigest() == load(name)[1].provenance["input"]["sha256"]


@pytest.mark.parametrize("name", NAMES)
def test_percentages_of_the_readme_are_counted(name: str) -> None:
    text = (EXAMPLES / "README.md").read_text("utf-8")
    row = re.search(rf"^\| `{name}\.tif` .*\| ([\d.]+) % \| ([\d.]+) % \|$", text, re.MULTILINE)
    assert row is not None
    phases = load(name)[1].phases()
    specimen = (phases != Phase.VOID).sum()
    for shown, phase in zip(row.groups(), (Phase.PORE, Phase.SILT), strict=True):
        assert float(shown) == pytest.approx(100 * (phases == phase).sum() / specimen, abs=0.006)


def test_examples_are_small() -> None:
    assert sum(path.stat().st_size for path in EXAMPLES.rglob("*") if path.is_file()) < 6e6
