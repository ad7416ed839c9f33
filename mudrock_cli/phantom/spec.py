"""What a synthetic mudrock is like: the few numbers that a phantom is drawn from."""

from dataclasses import dataclass, replace

import numpy as np

from mudrock_cli.errors import MudrockError


@dataclass(frozen=True)
class PhantomSpec:
    """Rock and microscope of a phantom; lengths in micrometres, greys in levels of 255.

    The defaults resemble an ion-milled mudstone of the Kumano basin at 10 nm per pixel.

    Parameters
    ----------
    silt_fraction, porosity : float
        Targets as shares of the area; what came out exactly is in ``Phantom.facts``.
    silt_ecd_um, silt_spread : float
        Median equivalent-circle diameter of silt grains, and the deviation of its logarithm.
    plate_length_um, plate_thickness_um, plate_spread : float
        Medians of clay platelets cut edge-on, and the deviation of their logarithms.
    flat_share : float
        Share of the clay area in platelets that lie flat and in clay aggregates.
    fabric, bedding_degrees : float
        0 for random platelets to 1 for strictly parallel ones, and the direction of bedding.
    slit_share : float
        Share of platelets with a slit-like pore along one side.
    patchiness : float
        How much porosity varies from place to place, 0 for not at all.
    contrast : float
        Grey difference between the polished surface and the deepest pore.
    edge, relief, noise, texture : float
        Amplitudes of bright pore edges, steps between particles, shot noise, surface texture.
    blur_px : float
        Standard deviation of the beam, in pixels.
    curtaining, charging, shading, tile_steps : float
        Amplitudes of milling streaks, horizontal charging tails, uneven illumination and brightness
        steps between the tiles of a mosaic.
    brightness, silt_grey : float
        Mean grey of the polished clay, and how much brighter silt is.
    jpeg_quality : int
        Quality of a lossy compression that the picture went through, 0 for none.

    Raises
    ------
    MudrockError
        If a share is none.
    """

    silt_fraction: float = 0.15
    porosity: float = 0.10
    silt_ecd_um: float = 3.6
    silt_spread: float = 0.45
    plate_length_um: float = 1.1
    plate_thickness_um: float = 0.13
    plate_spread: float = 0.6
    flat_share: float = 0.25
    fabric: float = 0.7
    bedding_degrees: float = 10.0
    slit_share: float = 0.4
    patchiness: float = 0.5
    contrast: float = 100.0
    edge: float = 60.0
    relief: float = 12.0
    noise: float = 4.5
    texture: float = 4.0
    blur_px: float = 0.95
    curtaining: float = 4.0
    charging: float = 2.0
    shading: float = 6.0
    tile_steps: float = 0.0
    brightness: float = 150.0
    silt_grey: float = -12.0
    jpeg_quality: int = 0

    def __post_init__(self) -> None:
        for name in ("silt_fraction", "porosity", "flat_share", "fabric", "slit_share"):
            share = getattr(self, name)
            if not 0 <= share <= 1 or (name == "silt_fraction" and share > 0.95):
                raise MudrockError(f"a phantom cannot have {name} {share}", "take 0 to 0.95")


def random_spec(rng: np.random.Generator) -> PhantomSpec:
    """Draw a rock and a microscope at random, wider than any one sample is.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness; the same state gives the same spec.

    Returns
    -------
    PhantomSpec
    """

    def uniform(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    rock = PhantomSpec(
        silt_fraction=uniform(0.05, 0.40),
        porosity=uniform(0.04, 0.16),
        silt_ecd_um=uniform(2.6, 5.0),
        silt_spread=uniform(0.25, 0.6),
        plate_length_um=uniform(0.6, 1.6),
        plate_thickness_um=uniform(0.10, 0.24),
        plate_spread=uniform(0.45, 0.75),
        flat_share=uniform(0.2, 0.75),
        fabric=uniform(0.1, 0.9),
        bedding_degrees=uniform(0.0, 180.0),
        slit_share=uniform(0.05, 0.45),
        patchiness=uniform(0.0, 1.0),
    )
    return replace(
        rock,
        contrast=uniform(70.0, 125.0),
        edge=uniform(25.0, 90.0),
        relief=uniform(4.0, 20.0),
        noise=uniform(2.0, 9.0),
        texture=uniform(1.0, 8.0),
        blur_px=uniform(0.4, 1.8),
        curtaining=float(rng.gamma(0.8, 5.0)),
        charging=float(rng.gamma(0.8, 3.0)),
        shading=uniform(0.0, 12.0),
        tile_steps=float(rng.choice([0.0, 6.0, 12.0])),
        brightness=uniform(105.0, 170.0),
        silt_grey=uniform(-28.0, 3.0),
        jpeg_quality=int(rng.choice([0, 60, 75, 90])),
    )
