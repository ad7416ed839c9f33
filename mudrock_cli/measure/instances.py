"""The instance table: every silt grain and every pore of a mask, measured."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Map, Phase, PixelSize
from mudrock_cli.measure.components import (
    Components,
    Labelling,
    find_hosts,
    label_mask,
    whole_areas,
)
from mudrock_cli.measure.schema import INSTANCES, pack_numbers, pack_words
from mudrock_cli.measure.shapes import Bools, Floats, Ints
from mudrock_cli.measure.sizes import (
    PORE_CLASSES,
    SIZE_CLASSES,
    classify_pores,
    classify_size,
    frame_weights,
    to_phi,
)
from mudrock_cli.measure.spatial import nearest_distances
from mudrock_cli.measure.texture import part_grains
from mudrock_cli.measure.window import Window

PHASES = ("clay", "silt", "pore", "none")
"""Words of the columns ``phase`` and ``counted_as``, by `Phase`, the last for VOID."""

Columns = Mapping[str, npt.NDArray[Any]]
"""Columns of the instance table as NumPy arrays: words as `Phase`, NaN for null."""

_KEPT = {"area_px": np.int64} | dict.fromkeys(
    (
        "area_um2", "ecd_um", "whole_ecd_um", "centroid_row_px", "centroid_column_px",
        "aspect_ratio", "orientation_deg", "frame_weight",
    ),
    np.float64,
)  # fmt: skip
"""Columns that the summary of an image takes besides ``counted_as``, and their types."""

_ROWS = 1 << 15
"""Rows worked on at a time: bounds the memory of the temporary arrays."""

_ROUNDING = 1e-14
"""Relative size below which a second moment is the rounding of zero."""


def _fit_ellipses(objects: Components, um: float) -> dict[str, Any]:
    """Return centroids, and the axes of the ellipses with the objects' second moments.

    The full axes are ``4 sqrt(eigenvalue)`` of the covariance of pixel centres. Orientation is NaN
    where both are equal, the aspect ratio for a line of pixels, whose minor axis is zero.
    """
    sums, area = objects.sums, objects.sums["area"]
    # About the pixel nearest the centroid the sums are small, exact integers again.
    x0, y0 = sums["x"] // area, sums["y"] // area
    x, y = (sums["x"] - x0 * area) / area, (sums["y"] - y0 * area) / area
    xx = sums["xx"] - 2 * x0 * sums["x"] + x0 * x0 * area
    yy = sums["yy"] - 2 * y0 * sums["y"] + y0 * y0 * area
    xy = sums["xy"] - x0 * sums["y"] - y0 * sums["x"] + x0 * y0 * area
    xx_mean, yy_mean, xy_mean = xx / area - x * x, yy / area - y * y, xy / area - x * y
    middle, half = (xx_mean + yy_mean) / 2, (xx_mean - yy_mean) / 2
    reach = np.hypot(half, xy_mean)
    small = np.clip(middle - reach, 0, None)
    small[small <= _ROUNDING * middle] = 0
    # Rows count downwards, so a covariance of rows and columns turns its sign in the plane.
    turn = np.degrees(np.arctan2(-xy_mean, half) / 2) % 180
    turn[turn >= 180] = 0
    turn[reach <= _ROUNDING * middle] = np.nan
    major, minor = 4 * np.sqrt(middle + reach), 4 * np.sqrt(small)
    ratio = np.full(len(area), np.nan)
    return {
        "centroid_row_px": y0 + y,
        "centroid_column_px": x0 + x,
        "major_axis_um": major * um,
        "minor_axis_um": minor * um,
        "aspect_ratio": np.divide(major, minor, out=ratio, where=minor > 0),
        "orientation_deg": turn,
    }


def counts_as_clay(um: float, min_silt_um: float, area_px: Ints | Floats) -> Bools:
    """Tell which silt regions are too small to be silt, by their whole areas in pixels of `um`."""
    return equivalent_diameters(um, area_px) <= min_silt_um


def measure_objects(
    labelling: Labelling, pixel_size: PixelSize, min_silt_um: float, min_pore_um: float = 0.0
) -> Columns:
    """Measure what the summary of an image takes of its objects.

    Parameters
    ----------
    labelling : Labelling
        The objects of a mask.
    pixel_size : PixelSize
        Side of its pixels.
    min_silt_um : float
        Silt regions up to this equivalent-circle diameter count as clay, µm.
    min_pore_um : float
        Pores smaller than this equivalent-circle diameter are not counted, µm.

    Returns
    -------
    mapping of str to ndarray, shape (N,)
        Some columns of the instance table; ``counted_as`` is VOID for what is not counted.
    """
    count, window = len(labelling), labelling.window
    columns: dict[str, npt.NDArray[Any]] = {
        name: np.empty(count, dtype) for name, dtype in _KEPT.items()
    }
    for start in range(0, count, _ROWS):
        objects = labelling.objects.part(start, start + _ROWS)
        values = _measure_sizes(objects, pixel_size.um)
        values |= _measure_places(objects, pixel_size.um, window)
        for name, column in columns.items():
            column[start : start + _ROWS] = values[name]
    counted_as = labelling.objects.phase.copy()
    whole = columns["whole_ecd_um"]
    counted_as[(counted_as == Phase.SILT) & (whole <= min_silt_um)] = Phase.CLAY
    counted_as[(counted_as == Phase.PORE) & (whole < min_pore_um)] = Phase.VOID
    return columns | {"counted_as": counted_as}


def divide_silt(
    mask: PhaseMask, pixel_size: PixelSize, min_silt_um: float, mapper: Map = map
) -> tuple[npt.NDArray[np.uint8], int]:
    """Divide what counts as silt where grains touch.

    Parameters
    ----------
    mask : PhaseMask
        The mask.
    pixel_size : PixelSize
        Side of its pixels.
    min_silt_um : float
        Silt regions up to this equivalent-circle diameter count as clay, µm.
    mapper : Map
        Who finds the regions.

    Returns
    -------
    parts : ndarray of uint8, shape (H, W)
        What `label_mask` takes to keep the grains apart.
    regions : int
        Number of silt regions before.
    """
    labelling = label_mask(mask, mapper=mapper)
    silt = measure_objects(labelling, pixel_size, min_silt_um)["counted_as"] == Phase.SILT
    return part_grains(mask, labelling, silt), int(silt.sum())


class Instances:
    """The silt grains and pores of one mask, whose rows are made when they are asked for.

    A row takes several times the memory of what it is made of.

    Parameters
    ----------
    name : str
        Name of the image.
    labelling : Labelling
        Its objects.
    columns : mapping of str to ndarray
        From `measure_objects`; not kept.
    pixel_size : PixelSize
        Side of its pixels.
    """

    def __init__(
        self, name: str, labelling: Labelling, columns: Columns, pixel_size: PixelSize
    ) -> None:
        self._name, self._objects = name, labelling.objects
        self._um, self._window = pixel_size.um, labelling.window
        self._counted_as = columns["counted_as"]
        self._nearest = np.full(len(labelling), np.nan)
        for phase in (Phase.SILT, Phase.PORE):
            same = self._counted_as == phase
            self._nearest[same] = nearest_distances(place_centroids(columns, same, self._um))

    @property
    def num_rows(self) -> int:
        """Number of silt grains and pores, silt that counts as clay included."""
        return len(self._objects)

    def slice(self, offset: int = 0, length: int | None = None) -> pa.Table:
        """Return rows, in the order of labels; columns as in `INSTANCES`.

        Parameters
        ----------
        offset : int
            The first row.
        length : int, optional
            How many at most; by default all from there on.
        """
        stop = self.num_rows if length is None else min(offset + length, self.num_rows)
        objects = self._objects.part(offset, stop)
        counted_as = self._counted_as[offset:stop]
        values = _measure_sizes(objects, self._um)
        classes = tuple(name for name, _ in SIZE_CLASSES)
        values |= {
            "image": pack_words(np.zeros(len(objects), np.int32), (self._name,)),
            "label": np.arange(offset + 1, stop + 1),
            "phase": pack_words(objects.phase, PHASES),
            "counted_as": pack_words(np.minimum(counted_as, len(PHASES) - 1), PHASES),
            "ecd_phi": to_phi(values["ecd_um"]),
            "size_class": pack_words(classify_size(values["ecd_um"], "iso"), classes),
            "size_class_wentworth": pack_words(classify_size(values["ecd_um"]), classes),
            "nearest_neighbour_um": self._nearest[offset:stop],
        }
        values |= _measure_places(objects, self._um, self._window)
        values |= _measure_outlines(objects, self._um)
        for scheme, limits in PORE_CLASSES.items():
            index = classify_pores(values["feret_min_um"], scheme)
            words = tuple(name for name, _ in limits)
            values[f"pore_class_{scheme}"] = pack_words(index, words, objects.phase == Phase.PORE)
        values |= _describe_hosts(objects, self._counted_as == Phase.SILT)
        sums, unknown = objects.sums, np.full(len(objects), np.nan)
        for layer, scale in (("grey", 1.0), ("confidence", 255.0)):
            values[f"mean_{layer}"] = (
                sums[layer] / (sums["area"] * scale) if layer in sums else unknown
            )
        arrays = [
            values[column.name]
            if isinstance(values[column.name], pa.Array)
            else pack_numbers(values[column.name], column.type)
            for column in INSTANCES
        ]
        schema = pa.schema([column.to_field() for column in INSTANCES])
        return pa.Table.from_arrays(arrays, schema=schema)


def measure_instances(
    name: str,
    labelling: Labelling,
    pixel_size: PixelSize,
    min_silt_um: float,
) -> pa.Table:
    """Measure all objects of one mask; parameters as of `measure_objects` and `Instances`.

    Returns
    -------
    pyarrow.Table
        A row per object, in the order of labels; columns as in `INSTANCES`.
    """
    columns = measure_objects(labelling, pixel_size, min_silt_um)
    return Instances(name, labelling, columns, pixel_size).slice()


def place_centroids(columns: Columns, chosen: Bools, um: float) -> Floats:
    """Return centroids of some objects in µm from the upper left corner, rows before columns."""
    rows, across = (columns[f"centroid_{axis}_px"][chosen] for axis in ("row", "column"))
    return np.stack([(rows + 0.5) * um, (across + 0.5) * um], axis=1)


def equivalent_diameters(um: float, area_px: Ints | Floats) -> Floats:
    """Return equivalent-circle diameters in µm of areas in pixels."""
    ecd: Floats = np.sqrt(4 * (area_px * um**2) / np.pi)
    return ecd


def _measure_sizes(objects: Components, um: float) -> dict[str, Any]:
    """Return areas and diameters; `um` is the side of a pixel."""
    area_px = objects.sums["area"]
    return {
        "area_px": area_px,
        "area_um2": area_px * um**2,
        "ecd_um": equivalent_diameters(um, area_px),
        "whole_ecd_um": equivalent_diameters(um, whole_areas(objects)),
    }


def _measure_places(objects: Components, um: float, window: Window) -> dict[str, Any]:
    """Return positions, ellipses, and how objects lie to the specimen's edge."""
    places = _fit_ellipses(objects, um)
    top, left, bottom, right = objects.box * np.array([[1], [1], [-1], [-1]])
    return places | {
        "centroid_y_um": (places["centroid_row_px"] + 0.5) * um,
        "centroid_x_um": (places["centroid_column_px"] + 0.5) * um,
        "bbox_top_px": top,
        "bbox_left_px": left,
        "bbox_bottom_px": bottom,
        "bbox_right_px": right,
        "touches_border": objects.at_border,
        "frame_weight": frame_weights(bottom - top, right - left, objects.at_border, window),
    }


def _measure_outlines(objects: Components, um: float) -> dict[str, Any]:
    """Return Crofton perimeters, convex hulls, and what follows from them."""
    sums, area = objects.sums, objects.sums["area"]
    # Entries along lines one pixel apart, as skimage.measure.perimeter_crofton counts them;
    # Legland, Kiêu and Devaux (2007), Image Anal. Stereol. 26: 83-92.
    straight, diagonal = sums["ends_0"] + sums["ends_90"], sums["ends_45"] + sums["ends_135"]
    perimeter = np.pi / 4 * (straight + diagonal / np.sqrt(2))
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


def _describe_hosts(objects: Components, silt: Bools) -> dict[str, Any]:
    """Return what surrounds pores; `silt` tells which objects of the image count as grains."""
    grain, contact, inside = find_hosts(objects, silt)
    pore = objects.phase == Phase.PORE
    return {
        "host": pack_words(inside, ("interparticle", "intraparticle"), pore),
        "host_label": pack_numbers(grain + 1, "uint", pore & (grain >= 0)),
        "silt_contact": np.where(pore, contact, np.nan),
    }
