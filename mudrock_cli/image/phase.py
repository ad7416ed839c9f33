"""The phases of a mudrock and the colours in which they are shown."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt


class Phase(IntEnum):
    """What a pixel of a phase mask shows.

    ``VOID`` marks pixels without specimen (a data bar) or without a label.
    """

    CLAY = 0
    SILT = 1
    PORE = 2
    VOID = 255


COLOURS: dict[Phase, tuple[int, int, int]] = {
    Phase.CLAY: (128, 128, 128),
    Phase.SILT: (220, 40, 40),
    Phase.PORE: (40, 180, 60),
    Phase.VOID: (0, 0, 0),
}
"""Red, green, blue of each phase: silt red, pore green, clay grey (Bihani et al. 2022)."""


def palette() -> npt.NDArray[np.uint8]:
    """Return the colour table of a mask.

    Returns
    -------
    ndarray of uint8, shape (256, 3)
        Row *i* is the colour of grey value *i*; values that are no phase are black.
    """
    table = np.zeros((256, 3), np.uint8)
    for phase, colour in COLOURS.items():
        table[phase] = colour
    return table
