"""Pictures whose numbers are known from a formula: equal ellipses on a grid."""

import math

import numpy as np

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.phase import Phase
from mudrock_cli.image.pixel_size import PixelSize
from mudrock_cli.phantom.synthesis import Phantom

_GREYS = {Phase.CLAY: 150, Phase.SILT: 120, Phase.PORE: 50}


def make_ellipses(
    rows: int,
    columns: int,
    *,
    semi_axes: tuple[float, float] = (20.0, 20.0),
    angle_degrees: float = 0.0,
    spacing: int = 64,
    phase: Phase = Phase.PORE,
    pixel_size_nm: float = 10.0,
) -> Phantom:
    """Draw `rows` x `columns` equal ellipses in clay; a pixel belongs to the one its centre is in.

    Parameters
    ----------
    rows, columns : int
        Ellipses down and across.
    semi_axes : tuple of float
        Major and minor semi-axis, pixels; equal for discs.
    angle_degrees : float
        Direction of the major axis, from the column axis towards growing rows.
    spacing : int
        Pixels between centres, in both directions.
    phase : Phase
        Phase of the ellipses.
    pixel_size_nm : float
        Nanometres per pixel.

    Returns
    -------
    Phantom
        ``facts`` hold the formulas' values: ``count``, ``area_um2`` and ``ecd_um`` of one ellipse
        (pi a b, 2 sqrt(a b)), ``area_fraction`` and ``aspect_ratio`` (a / b).

    Raises
    ------
    MudrockError
        If the ellipses would touch.
    """
    major, minor = semi_axes
    if 2 * max(semi_axes) > spacing - 2:
        raise MudrockError(f"ellipses of {2 * max(semi_axes):g} px touch at {spacing} px spacing")
    # off the pixel grid by an odd amount, so that symmetric ties do not decide
    y, x = np.mgrid[:spacing, :spacing] - (spacing / 2 - 0.37)
    c, s = math.cos(math.radians(angle_degrees)), math.sin(math.radians(angle_degrees))
    inside = ((c * x + s * y) / major) ** 2 + ((c * y - s * x) / minor) ** 2 <= 1
    phases = np.tile(np.where(inside, np.uint8(phase), np.uint8(Phase.CLAY)), (rows, columns))
    greys = np.zeros(256, np.uint8)
    for known, grey in _GREYS.items():
        greys[known] = grey
    pixel_size = PixelSize(pixel_size_nm, "phantom of ellipses")
    facts = {
        "count": rows * columns,
        "area_um2": math.pi * major * minor * pixel_size.um**2,
        "ecd_um": 2 * math.sqrt(major * minor) * pixel_size.um,
        "area_fraction": math.pi * major * minor / spacing**2,
        "aspect_ratio": major / minor,
    }
    return Phantom(greys[phases], phases, pixel_size, facts)
