from pathlib import Path

import numpy as np
import pytest
from phantom import make_phantom

from mudrock_cli.deeplab.dataset import register_labels
from mudrock_cli.image.mask import open_mask
from mudrock_cli.image.micrograph import open_micrograph
from mudrock_cli.image.types import Phase

KUMANO = Path(__file__).resolve().parents[3] / "shared" / "data" / "kumano"


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(5, (900, 1000))


def test_labels_in_place_are_left_alone(phantom):
    labels, drift = register_labels(phantom.grey, phantom.phases)
    assert drift is None
    assert labels is phantom.phases


def test_a_stretch_is_found_and_undone(phantom):
    source = np.rint(np.arange(900) / 1.009).astype(int)
    stretched = phantom.phases[source]
    labels, drift = register_labels(phantom.grey, stretched)
    assert drift is not None
    assert drift.rows[1] == pytest.approx(0.009, abs=0.002)
    assert abs(drift.columns[1]) < 0.001
    assert drift.after > 1.1 * drift.before
    known = labels != Phase.VOID
    assert known.mean() > 0.98
    assert (labels == phantom.phases)[known].mean() > 0.97
    assert (stretched == phantom.phases).mean() < 0.95


def test_an_offset_is_found_and_undone(phantom):
    shifted = np.full_like(phantom.phases, Phase.VOID)
    shifted[:, 7:] = phantom.phases[:, :-7]
    labels, drift = register_labels(phantom.grey, shifted)
    assert drift is not None
    assert drift.columns == (pytest.approx(7, abs=0.5), pytest.approx(0, abs=1e-3))
    known = labels != Phase.VOID
    assert (labels == phantom.phases)[known].mean() > 0.99


def test_labels_without_pores_are_left_alone(phantom):
    clay = np.zeros_like(phantom.phases)
    assert register_labels(phantom.grey, clay) == (clay, None)


@pytest.mark.skipif(not KUMANO.exists(), reason="../shared/data is not beside the checkout")
def test_one_published_label_is_stretched_and_the_others_are_not():
    found = {}
    for number in (11, 17):
        grey = open_micrograph(KUMANO / "images" / f"kumano_{number}.tif").grey()
        found[number] = register_labels(
            grey, open_mask(KUMANO / "labels" / f"kumano_{number}.png").phases()
        )[1]
    assert found[11] is None
    assert found[17].rows[1] == pytest.approx(0.006, abs=0.001)
    assert found[17].after > 0.6
