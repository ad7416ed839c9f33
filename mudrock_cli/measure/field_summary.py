"""What is said of a single field: spacing, direction, representativeness, texture."""

import math
from typing import Any

import numpy as np

from mudrock_cli.image.phase import Phase
from mudrock_cli.measure.correlation import specific_boundary
from mudrock_cli.measure.fabric import axial_mean
from mudrock_cli.measure.field import Texture
from mudrock_cli.measure.representativeness import vary_window
from mudrock_cli.measure.resolution import resolvable_diameter, share_near_limit
from mudrock_cli.measure.sample import Grains, Sample
from mudrock_cli.measure.spatial import clark_evans, ripley_l

Row = dict[str, Any]


def describe_field(sample: Sample, texture: Texture) -> Row:
    """Return the columns of the summary that single images have.

    Parameters
    ----------
    sample : Sample
        The image.
    texture : Texture
        How its phases are spread.
    """
    um, pores = sample.pixel_size.um, sample.grains[Phase.PORE]
    row: Row = {
        "pixel_size_nm": sample.pixel_size.nm,
        "pixel_size_source": sample.pixel_size.source,
        "resolvable_ecd_um": resolvable_diameter(um),
        "pore_area_near_limit": share_near_limit(pores.ecd, pores.area, um),
        "silt_contiguity": texture.contacts.contiguity,
        "silt_contacts_per_grain": texture.contacts.contacts_per_grain,
    }
    for phase, word in ((Phase.PORE, "pore"), (Phase.SILT, "silt")):
        grains = sample.grains[phase]
        row |= _describe_axes(grains, word) | _describe_spacing(grains, sample.frame, word)
        varied = vary_window(sample.cells.counts, phase, sample.cells.side * um)
        row |= {
            f"{word}_variation": varied.variation,
            f"{word}_window_um": varied.size,
            "window_side_um": varied.sides,
        }
        correlation = texture.pairs[phase].correlate()
        row |= {f"{word}_two_point": correlation, "two_point_distance_um": _ramp(correlation, um)}
        if len(correlation) > 1:
            row[f"{word}_boundary_per_um"] = specific_boundary(correlation, um)
    return row


def _ramp(values: Any, step: float) -> Any:
    """Return 0, 1, 2, ... steps, as many as there are values."""
    return np.arange(len(values)) * step


def _describe_axes(grains: Grains, word: str) -> Row:
    """Return the direction that long axes have in common."""
    found = axial_mean(grains.axis[grains.elongated])
    degrees = math.degrees(found.angle) % 180
    return {
        f"{word}_orientation_deg": 0.0 if degrees == 180 else degrees,
        f"{word}_orientation_strength": found.strength,
        f"{word}_orientation_p": found.p,
    }


def _describe_spacing(grains: Grains, frame: tuple[float, float], word: str) -> Row:
    """Return how centroids lie to each other."""
    nearest, ripley = clark_evans(grains.place, frame), ripley_l(grains.place, frame)
    row: Row = {f"{word}_clark_evans": nearest.index, f"{word}_clark_evans_p": nearest.p}
    if len(grains.place) > 1:
        row |= {
            f"{word}_ripley_radius_um": ripley.radii,
            f"{word}_ripley_l_um": ripley.l,
            f"{word}_ripley_critical_um": ripley.critical,
        }
    return row
