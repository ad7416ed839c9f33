import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mudrock_cli.measure.cells import cell_side, count_cells, find_blocks, lay_blocks, sum_blocks

MASKS = arrays(
    np.uint8,
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    elements=st.sampled_from([0, 1, 2, 255]),
)


@given(MASKS, st.integers(1, 50))
def test_counts_are_the_counts_of_a_plain_loop(phases: np.ndarray, side: int) -> None:
    counts = count_cells(phases, side)
    for row in range(counts.shape[0]):
        for column in range(counts.shape[1]):
            cell = phases[row * side : (row + 1) * side, column * side : (column + 1) * side]
            assert counts[row, column].tolist() == [
                int((cell == phase).sum()) for phase in range(3)
            ]


def test_cell_side() -> None:
    assert cell_side((2000, 1715)) == 32
    assert cell_side((5, 3)) == 1
    assert cell_side((200_000, 10)) == 1024


def test_blocks_cover_everything_nearly_evenly() -> None:
    blocks = lay_blocks((63, 54))
    sizes = np.bincount(blocks.ravel())
    assert len(sizes) == 25
    assert sizes.min() > 0.7 * sizes.max()
    assert lay_blocks((1, 1)).tolist() == [[0]]
    assert lay_blocks((4, 100)).max() + 1 >= 20


def test_points_and_pixels_fall_into_the_same_blocks() -> None:
    rng = np.random.default_rng(0)
    phases = rng.choice(np.array([0, 1, 2, 255], np.uint8), (90, 130))
    side = 7
    counts = count_cells(phases, side)
    blocks = lay_blocks(counts.shape[:2])
    sums = sum_blocks(counts, blocks)
    rows, columns = np.nonzero(phases == 2)
    own = np.bincount(find_blocks(rows, columns, blocks, side), minlength=len(sums))
    np.testing.assert_array_equal(own, sums[:, 2])
    assert sums.sum() == (phases != 255).sum()
