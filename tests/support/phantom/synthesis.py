"""Synthetic micrographs with exact truth."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Phase, PixelSize
from phantom.geometry import pack
from phantom.sem import see
from phantom.shapes import PhantomSpec


@dataclass(frozen=True)
class Phantom:
    """A synthetic micrograph and its truth.

    Parameters
    ----------
    grey : ndarray of uint8, shape (H, W)
    phases : ndarray of uint8, shape (H, W)
        Values of `Phase`; every pixel is labelled.
    pixel_size : PixelSize
    facts : mapping
        ``seed``, ``porosity``, ``silt_fraction``, ``clay_fraction`` (shares of the area, counted in
        `phases`) and ``spec``; JSON-able.
    """

    grey: npt.NDArray[np.uint8]
    phases: npt.NDArray[np.uint8]
    pixel_size: PixelSize
    facts: Mapping[str, Any]


def make_phantom(
    seed: int,
    shape: tuple[int, int] = (1715, 2000),
    pixel_size_nm: float = 10.0,
    *,
    spec: PhantomSpec | None = None,
) -> Phantom:
    """Make a micrograph of an invented mudstone; the same arguments give the same pixels.

    Parameters
    ----------
    seed : int
        Not negative.
    shape : tuple of int
        Height and width in pixels.
    pixel_size_nm : float
        Nanometres per pixel.
    spec : PhantomSpec, optional
        Rock and microscope; the defaults of `PhantomSpec` when left out.

    Returns
    -------
    Phantom

    Raises
    ------
    MudrockError
        If the pixel size is not positive.
    """
    spec = spec or PhantomSpec()
    pixel_size = PixelSize(pixel_size_nm, f"phantom, seed {seed}")
    rock, microscope = np.random.default_rng(seed).spawn(2)
    packing = pack(rock, spec, shape, pixel_size.nm)
    phases = packing.phases(pixel_size.nm)
    shares = np.bincount(phases.ravel(), minlength=3) / phases.size
    facts = {
        "seed": seed,
        "porosity": float(shares[Phase.PORE]),
        "silt_fraction": float(shares[Phase.SILT]),
        "clay_fraction": float(shares[Phase.CLAY]),
        "spec": asdict(spec),
    }
    return Phantom(see(microscope, spec, packing), phases, pixel_size, facts)


def redraw(truth: PhaseMask) -> Phantom:
    """Draw a phantom again from the seed and the spec that its truth mask records."""
    options = truth.provenance["options"]
    height, width = options["shape"]
    if truth.pixel_size is None:
        raise MudrockError(f"{truth.path}: no pixel size, so no truth mask of a phantom")
    spec = PhantomSpec(**options["spec"])
    return make_phantom(options["seed"], (height, width), truth.pixel_size.nm, spec=spec)


# Pictures whose numbers are known from a formula: equal ellipses on a grid.

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
