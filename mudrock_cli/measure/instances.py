"""The instance table: every silt grain and every pore of a mask, measured."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mudrock_cli.image.phase import Phase
from mudrock_cli.image.pixel_size import PixelSize
from mudrock_cli.measure.arrow import pack_numbers, pack_words
from mudrock_cli.measure.frame import frame_weights
from mudrock_cli.measure.grading import SIZE_CLASSES, classify_size, to_phi
from mudrock_cli.measure.hosts import find_hosts
from mudrock_cli.measure.hull import Floats, measure_hulls
from mudrock_cli.measure.instance_columns import INSTANCES
from mudrock_cli.measure.labelling import Labelling
from mudrock_cli.measure.shapes import fit_ellipses, measure_perimeters
from mudrock_cli.measure.spatial import nearest_distances

PHASES = ("clay", "silt", "pore")
"""Words of the columns ``phase`` and ``counted_as``, by `Phase`."""

_HOSTS = ("interparticle", "intraparticle")


def measure_instances(
    name: str,
    labelling: Labelling,
    pixel_size: PixelSize,
    min_silt_um: float,
    scales: Mapping[str, float] | None = None,
) -> pa.Table:
    """Measure all objects of one mask.

    Parameters
    ----------
    name : str
        Name of the image.
    labelling : Labelling
        Its objects.
    pixel_size : PixelSize
        Side of its pixels.
    min_silt_um : float
        Silt regions up to this equivalent-circle diameter count as clay, µm.
    scales : mapping of str to float, optional
        For the layers ``grey`` and ``confidence`` of the labelling: what to divide by.

    Returns
    -------
    pyarrow.Table
        A row per object, in the order of labels; columns as in `INSTANCES`.
    """
    values = _measure_sizes(labelling, pixel_size.um, min_silt_um)
    values |= _measure_places(labelling, pixel_size.um, values["counted_as"])
    values |= _measure_outlines(labelling, pixel_size.um)
    values |= _measure_layers(labelling, scales or {})
    count = len(labelling)
    values["image"] = pack_words(np.zeros(count, np.int32), (name,))
    values["label"] = np.arange(1, count + 1)
    for column in ("phase", "counted_as"):
        values[column] = pack_words(values[column], PHASES)
    arrays = [
        values[column.name]
        if isinstance(values[column.name], pa.Array)
        else pack_numbers(values[column.name], column.type)
        for column in INSTANCES
    ]
    schema = pa.schema([column.to_field() for column in INSTANCES])
    return pa.Table.from_arrays(arrays, schema=schema)


def _measure_sizes(labelling: Labelling, um: float, min_silt_um: float) -> dict[str, Any]:
    """Areas, diameters and classes."""
    objects = labelling.objects
    area_px = objects.sums["area"]
    area = area_px * um**2
    ecd = np.sqrt(4 * area / np.pi)
    names = [class_name for class_name, _ in SIZE_CLASSES]
    phase = objects.phase.astype(np.int32)
    return {
        "phase": phase,
        "counted_as": np.where((phase == Phase.SILT) & (ecd <= min_silt_um), Phase.CLAY, phase),
        "area_px": area_px,
        "area_um2": area,
        "ecd_um": ecd,
        "ecd_phi": to_phi(ecd),
        "size_class": pack_words(classify_size(ecd, "iso"), names),
        "size_class_wentworth": pack_words(classify_size(ecd, "wentworth"), names),
    }


def _measure_places(
    labelling: Labelling, um: float, counted_as: npt.NDArray[np.int32]
) -> dict[str, Any]:
    """Positions, and how objects lie to the frame and to each other."""
    objects, specimen = labelling.objects, labelling.specimen
    ellipse = fit_ellipses(objects)
    top, left, bottom, right = objects.box * np.array([[1], [1], [-1], [-1]])
    y, x = (ellipse.row + 0.5) * um, (ellipse.column + 0.5) * um
    nearest = np.full(len(objects), np.nan)
    for phase in (Phase.SILT, Phase.PORE):
        same = counted_as == phase
        nearest[same] = nearest_distances(np.stack([y[same], x[same]], axis=1))
    hosts = find_hosts(objects, counted_as == Phase.SILT)
    pore = objects.phase == Phase.PORE
    frame = specimen.shape if specimen else (1, 1)
    return {
        "centroid_row_px": ellipse.row,
        "centroid_column_px": ellipse.column,
        "centroid_y_um": y,
        "centroid_x_um": x,
        "bbox_top_px": top,
        "bbox_left_px": left,
        "bbox_bottom_px": bottom,
        "bbox_right_px": right,
        "major_axis_um": ellipse.major * um,
        "minor_axis_um": ellipse.minor * um,
        "aspect_ratio": ellipse.aspect_ratio,
        "orientation_deg": ellipse.orientation,
        "nearest_neighbour_um": nearest,
        "host": pack_words(hosts.inside, _HOSTS, pore),
        "host_label": pack_numbers(hosts.grain + 1, "uint", pore & (hosts.grain >= 0)),
        "silt_contact": np.where(pore, hosts.contact, np.nan),
        "touches_border": objects.at_border,
        "frame_weight": frame_weights(bottom - top, right - left, objects.at_border, frame),
    }


def _measure_outlines(labelling: Labelling, um: float) -> dict[str, Any]:
    """Perimeters, convex hulls, and what follows from them."""
    objects = labelling.objects
    area = objects.sums["area"]
    perimeter = measure_perimeters(objects)
    form_factor = 4 * np.pi * area / perimeter**2
    convex, feret_min, feret_max = measure_hulls(objects.chains, len(objects))
    return {
        "perimeter_um": perimeter * um,
        "form_factor": form_factor,
        "circularity": np.sqrt(form_factor),
        "feret_min_um": feret_min * um,
        "feret_max_um": feret_max * um,
        "convex_area_um2": convex * um**2,
        "solidity": area / convex,
    }


def _measure_layers(labelling: Labelling, scales: Mapping[str, float]) -> dict[str, Floats]:
    """Means of the layers that are at hand."""
    sums, nothing = labelling.objects.sums, np.full(len(labelling), np.nan)
    return {
        f"mean_{layer}": sums[layer] / (sums["area"] * scales.get(layer, 1.0))
        if layer in sums
        else nothing
        for layer in ("grey", "confidence")
    }
