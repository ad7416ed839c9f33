"""What is said of a single field: spacing, direction, representativeness, texture."""

import math
from typing import Any

import numpy as np

from mudrock_cli.image.phase import Phase
from mudrock_cli.image.pixel_size import PixelSize
from mudrock_cli.image.window import Box
from mudrock_cli.measure.objects.cells import CellCounter
from mudrock_cli.measure.objects.hull import Bools, Floats
from mudrock_cli.measure.statistics.correlation import specific_boundary
from mudrock_cli.measure.statistics.fabric import axial_mean, have_direction
from mudrock_cli.measure.statistics.representativeness import vary_window
from mudrock_cli.measure.statistics.resolution import resolvable_diameter, share_near_limit
from mudrock_cli.measure.statistics.spatial import clark_evans, ripley_l
from mudrock_cli.measure.summaries.field import Texture
from mudrock_cli.measure.summaries.instances import Columns, place_centroids

Row = dict[str, Any]


def describe_field(
    columns: Columns, cells: CellCounter, texture: Texture, pixel_size: PixelSize, specimen: Box
) -> Row:
    """Return the columns of the summary that single images have.

    Parameters
    ----------
    columns : mapping of str to ndarray
        The objects of the image, from `survey_objects`.
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
    counted_as = columns["counted_as"]
    frame = specimen.height * um, specimen.width * um
    corner = np.array([specimen.top, specimen.left]) * um
    for phase, word in ((Phase.PORE, "pore"), (Phase.SILT, "silt")):
        kept = counted_as == phase
        points = place_centroids(columns, kept, um) - corner
        varied = vary_window(cells.counts, phase, cells.side * um)
        row |= _describe_axes(columns, kept, word) | _describe_spacing(points, frame, word)
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
    ecd, area = (columns[name][pores] for name in ("ecd_um", "area_um2"))
    return row | {"pore_area_near_limit": share_near_limit(ecd, area, um)}


def _describe_axes(columns: Columns, kept: Bools, word: str) -> Row:
    """Return the direction that long axes have in common."""
    angle, aspect, pixels = (
        columns[name] for name in ("orientation_deg", "aspect_ratio", "area_px")
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
