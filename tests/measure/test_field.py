"""Windows over fields of any size, and the texture in them."""

import numpy as np
import pytest

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Phase
from mudrock_cli.measure.summary import lay_windows, measure_texture, read_windows


def test_windows_cover_a_usual_micrograph() -> None:
    for shape in ((1715, 2000), (3000, 4096), (20, 3000)):
        seen = np.zeros(shape, np.int8)
        for box in lay_windows(shape):
            seen[box.rows, box.columns] += 1
        assert (seen == 1).all()


def test_windows_of_a_mosaic_are_four_and_spread() -> None:
    boxes = lay_windows((20_000, 30_000))
    assert [box.shape for box in boxes] == 4 * [(2048, 2048)]
    middles = {((box.top + box.bottom) // 2, (box.left + box.right) // 2) for box in boxes}
    assert middles == {(5000, 7500), (5000, 22500), (15000, 7500), (15000, 22500)}


def test_texture_starts_at_the_fraction() -> None:
    phases = np.random.default_rng(1).choice([0, 1, 2], (100, 120)).astype(np.uint8)
    texture = measure_texture(
        read_windows(PhaseMask.from_array("a", phases), np.zeros((5, 0), int))
    )
    for phase, pairs in texture.pairs.items():
        assert pairs.correlate()[0] == pytest.approx((phases == phase).mean(), rel=1e-5)
        assert len(pairs.correlate()) == 26  # a quarter of the field, and zero


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1)])
def test_a_line_of_pixels_has_a_texture_without_distances(shape: tuple[int, int]) -> None:
    phases = np.random.default_rng(3).choice([0, 1, 2], shape).astype(np.uint8)
    texture = measure_texture([phases])
    assert texture.pairs[Phase.PORE].correlate() == pytest.approx([np.mean(phases == Phase.PORE)])
    silt = np.concatenate([[0], phases.ravel() == Phase.SILT])
    assert texture.contacts.grains == np.count_nonzero(np.diff(silt) == 1)
