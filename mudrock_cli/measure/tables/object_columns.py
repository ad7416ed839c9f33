"""Columns of the instance table from objects, a group of columns each."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mudrock_cli.image.phase import Phase
from mudrock_cli.measure.objects.hosts import find_hosts
from mudrock_cli.measure.objects.hull import Bools, Floats
from mudrock_cli.measure.objects.pieces import Pieces
from mudrock_cli.measure.objects.runs import Ints
from mudrock_cli.measure.objects.shapes import fit_ellipses, measure_perimeters
from mudrock_cli.measure.statistics.frame import frame_weights
from mudrock_cli.measure.statistics.grading import SIZE_CLASSES, classify_size, to_phi
from mudrock_cli.measure.tables.arrow import pack_numbers, pack_words

_HOSTS = ("interparticle", "intraparticle")
_CLASSES = tuple(name for name, _ in SIZE_CLASSES)


def measure_sizes(objects: Pieces, um: float) -> dict[str, Any]:
    """Return areas and diameters; `um` is the side of a pixel."""
    area_px = objects.sums["area"]
    ecd = equivalent_diameters(um, area_px)
    return {"area_px": area_px, "area_um2": area_px * um**2, "ecd_um": ecd}


def equivalent_diameters(um: float, area_px: Ints) -> Floats:
    """Return equivalent-circle diameters in µm of areas in pixels."""
    ecd: Floats = np.sqrt(4 * (area_px * um**2) / np.pi)
    return ecd


def counts_as_clay(um: float, min_silt_um: float, area_px: Ints) -> Bools:
    """Tell which silt regions are too small to be silt, by their areas in pixels."""
    return equivalent_diameters(um, area_px) <= min_silt_um


def classify_sizes(ecd: Floats) -> dict[str, Any]:
    """Return the phi scale and size classes of diameters in µm."""
    return {
        "ecd_phi": to_phi(ecd),
        "size_class": pack_words(classify_size(ecd, "iso"), _CLASSES),
        "size_class_wentworth": pack_words(classify_size(ecd, "wentworth"), _CLASSES),
    }


def measure_places(objects: Pieces, um: float, frame: tuple[int, int]) -> dict[str, Any]:
    """Return positions, ellipses, and how objects lie to the frame, rows by columns of pixels."""
    ellipse = fit_ellipses(objects)
    top, left, bottom, right = objects.box * np.array([[1], [1], [-1], [-1]])
    return {
        "centroid_row_px": ellipse.row,
        "centroid_column_px": ellipse.column,
        "centroid_y_um": (ellipse.row + 0.5) * um,
        "centroid_x_um": (ellipse.column + 0.5) * um,
        "bbox_top_px": top,
        "bbox_left_px": left,
        "bbox_bottom_px": bottom,
        "bbox_right_px": right,
        "major_axis_um": ellipse.major * um,
        "minor_axis_um": ellipse.minor * um,
        "aspect_ratio": ellipse.aspect_ratio,
        "orientation_deg": ellipse.orientation,
        "touches_border": objects.at_border,
        "frame_weight": frame_weights(bottom - top, right - left, objects.at_border, frame),
    }


def describe_hosts(objects: Pieces, silt: Bools) -> dict[str, Any]:
    """Return what surrounds pores; `silt` tells which objects of the image count as grains."""
    hosts = find_hosts(objects, silt)
    pore = objects.phase == Phase.PORE
    return {
        "host": pack_words(hosts.inside, _HOSTS, pore),
        "host_label": pack_numbers(hosts.grain + 1, "uint", pore & (hosts.grain >= 0)),
        "silt_contact": np.where(pore, hosts.contact, np.nan),
    }


def measure_outlines(objects: Pieces, um: float) -> dict[str, Any]:
    """Return perimeters, convex hulls, and what follows from them."""
    area = objects.sums["area"]
    perimeter = measure_perimeters(objects)
    form_factor = 4 * np.pi * area / perimeter**2
    convex, feret_min, feret_max = objects.hulls
    return {
        "perimeter_um": perimeter * um,
        "form_factor": form_factor,
        "circularity": np.sqrt(form_factor),
        "feret_min_um": feret_min * um,
        "feret_max_um": feret_max * um,
        "convex_area_um2": convex * um**2,
        "solidity": area / convex,
    }


def average_layers(objects: Pieces, scales: Mapping[str, float]) -> dict[str, Floats]:
    """Return means of the layers that are at hand, divided by their scales."""
    sums, nothing = objects.sums, np.full(len(objects), np.nan)
    return {
        f"mean_{layer}": sums[layer] / (sums["area"] * scales.get(layer, 1.0))
        if layer in sums
        else nothing
        for layer in ("grey", "confidence")
    }
