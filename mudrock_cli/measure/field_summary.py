"""What is said of a single field: spacing, direction, representativeness, texture."""

import math
from typing import Any

import numpy as np
import pyarrow as pa

from mudrock_cli.image.phase import Phase
from mudrock_cli.image.pixel_size import PixelSize
from mudrock_cli.image.window import Box
from mudrock_cli.measure.arrow import view_numbers
from mudrock_cli.measure.cells import CellCounter
from mudrock_cli.measure.correlation import specific_boundary
from mudrock_cli.measure.fabric import axial_mean, have_direction
from mudrock_cli.measure.field import Texture
from mudrock_cli.measure.hull import Bools, Floats
from mudrock_cli.measure.representativeness import vary_window
from mudrock_cli.measure.resolution import resolvable_diameter, share_near_limit
from mudrock_cli.measure.spatial import clark_evans, ripley_l

Row = dict[str, Any]


def describe_field(
    instances: pa.Table, cells: CellCounter, texture: Texture, pixel_size: PixelSize, specimen: Box
) -> Row:
    """Return the columns of the summary that single images have.

    Parameters
    ----------
    instances : pyarrow.Table
        Instance table of the image.
    cells : CellCounter
        Its phases in cells.
    texture : Texture
        How its phases are spread.
    pixel_size : PixelSize
        Side of its pixels.
    specimen : Box
        Where the specimen is.
    """
    um = pixel_size.um
    row: Row = {
        "pixel_size_nm": pixel_size.nm,
        "pixel_size_source": pixel_size.source,
        "resolvable_ecd_um": resolvable_diameter(um),
        "silt_contiguity": texture.contacts.contiguity,
        "silt_contacts_per_grain": texture.contacts.contacts_per_grain,
    }
    counted_as = view_numbers(instances["counted_as"])
    frame = specimen.height * um, specimen.width * um
    corner = np.array([specimen.top, specimen.left]) * um
    centres = [view_numbers(instances[f"centroid_{axis}_um"]) for axis in ("y", "x")]
    for phase, word in ((Phase.PORE, "pore"), (Phase.SILT, "silt")):
        kept = counted_as == phase
        points = np.stack([centre[kept] for centre in centres], axis=1) - corner
        varied = vary_window(cells.counts, phase, cells.side * um)
        row |= _describe_axes(instances, kept, word) | _describe_spacing(points, frame, word)
        row |= {
            f"{word}_variation": varied.variation,
            f"{word}_window_um": varied.size,
            "window_side_um": varied.sides,
        }
        correlation = texture.pairs[phase].correlate()
        distance = np.arange(len(correlation)) * um
        row |= {f"{word}_two_point": correlation, "two_point_distance_um": distance}
        if len(correlation) > 1:
            row[f"{word}_boundary_per_um"] = specific_boundary(correlation, um)
    pores = counted_as == Phase.PORE
    ecd, area = (view_numbers(instances[name])[pores] for name in ("ecd_um", "area_um2"))
    return row | {"pore_area_near_limit": share_near_limit(ecd, area, um)}


def _describe_axes(instances: pa.Table, kept: Bools, word: str) -> Row:
    """Return the direction that long axes have in common."""
    angle, aspect, pixels = (
        view_numbers(instances[name]) for name in ("orientation_deg", "aspect_ratio", "area_px")
    )
    found = axial_mean(np.radians(angle[kept & have_direction(angle, aspect, pixels)]))
    degrees = math.degrees(found.angle) % 180
    return {
        f"{word}_orientation_deg": 0.0 if degrees == 180 else degrees,
        f"{word}_orientation_strength": found.strength,
        f"{word}_orientation_p": found.p,
    }


def _describe_spacing(points: Floats, frame: tuple[float, float], word: str) -> Row:
    """Return how centroids lie to each other."""
    nearest = clark_evans(points, frame)
    row: Row = {f"{word}_clark_evans": nearest.index, f"{word}_clark_evans_p": nearest.p}
    if len(points) > 1:
        ripley = ripley_l(points, frame)
        row |= {
            f"{word}_ripley_radius_um": ripley.radii,
            f"{word}_ripley_l_um": ripley.l,
            f"{word}_ripley_critical_um": ripley.critical,
        }
    return row
