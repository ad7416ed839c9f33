"""The instance table: every silt grain and every pore of a mask, measured."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mudrock_cli.image.phase import Phase
from mudrock_cli.image.pixel_size import PixelSize
from mudrock_cli.measure.objects.hull import Bools, Floats
from mudrock_cli.measure.objects.labelling import Labelling
from mudrock_cli.measure.statistics.spatial import nearest_distances
from mudrock_cli.measure.tables.arrow import pack_numbers, pack_words
from mudrock_cli.measure.tables.instance_columns import INSTANCES
from mudrock_cli.measure.tables.object_columns import (
    average_layers,
    classify_sizes,
    describe_hosts,
    measure_outlines,
    measure_places,
    measure_sizes,
)

PHASES = ("clay", "silt", "pore")
"""Words of the columns ``phase`` and ``counted_as``, by `Phase`."""

Columns = Mapping[str, npt.NDArray[Any]]
"""Columns of the instance table as NumPy arrays: words as `Phase`, NaN for null."""

_SURVEYED = {"area_px": np.int64} | dict.fromkeys(
    (
        "area_um2", "ecd_um", "centroid_row_px", "centroid_column_px", "aspect_ratio",
        "orientation_deg", "frame_weight",
    ),
    np.float64,
)  # fmt: skip
"""What `survey_objects` finds besides ``counted_as``, and its type."""

_ROWS = 1 << 15
"""Rows worked on at a time: bounds the memory of the temporary arrays."""


def survey_objects(labelling: Labelling, pixel_size: PixelSize, min_silt_um: float) -> Columns:
    """Measure what the summary of an image takes of its objects.

    Parameters
    ----------
    labelling : Labelling
        The objects of a mask.
    pixel_size : PixelSize
        Side of its pixels.
    min_silt_um : float
        Silt regions up to this equivalent-circle diameter count as clay, µm.

    Returns
    -------
    mapping of str to ndarray, shape (N,)
        Some columns of the instance table.
    """
    count = len(labelling)
    columns = {name: np.empty(count, dtype) for name, dtype in _SURVEYED.items()}
    for start in range(0, count, _ROWS):
        objects = labelling.objects.part(start, start + _ROWS)
        values = measure_sizes(objects, pixel_size.um)
        values |= measure_places(objects, pixel_size.um, frame_shape(labelling))
        for name, column in columns.items():
            column[start : start + _ROWS] = values[name]
    counted_as = labelling.objects.phase.copy()
    counted_as[(counted_as == Phase.SILT) & (columns["ecd_um"] <= min_silt_um)] = Phase.CLAY
    return columns | {"counted_as": counted_as}


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
        From `survey_objects`; not kept.
    pixel_size : PixelSize
        Side of its pixels.
    scales : mapping of str to float, optional
        For the layers ``grey`` and ``confidence`` of the labelling: what to divide by.
    """

    def __init__(
        self,
        name: str,
        labelling: Labelling,
        columns: Columns,
        pixel_size: PixelSize,
        scales: Mapping[str, float] | None = None,
    ) -> None:
        self._name, self._objects = name, labelling.objects
        self._um, self._scales = pixel_size.um, dict(scales or {})
        self._frame = frame_shape(labelling)
        self._counted_as = columns["counted_as"]
        self._nearest = np.full(len(labelling), np.nan)
        for phase in (Phase.SILT, Phase.PORE):
            same = self._counted_as == phase
            points = place_centroids(columns, same, self._um)
            self._nearest[same] = nearest_distances(points)

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
        values = measure_sizes(objects, self._um)
        values |= classify_sizes(values["ecd_um"])
        values |= measure_places(objects, self._um, self._frame)
        values |= describe_hosts(objects, self._counted_as == Phase.SILT)
        values |= measure_outlines(objects, self._um)
        values |= average_layers(objects, self._scales)
        values |= {
            "image": pack_words(np.zeros(len(objects), np.int32), (self._name,)),
            "label": np.arange(offset + 1, stop + 1),
            "phase": pack_words(objects.phase, PHASES),
            "counted_as": pack_words(self._counted_as[offset:stop], PHASES),
            "nearest_neighbour_um": self._nearest[offset:stop],
        }
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
    scales: Mapping[str, float] | None = None,
) -> pa.Table:
    """Measure all objects of one mask; parameters as of `survey_objects` and `Instances`.

    Returns
    -------
    pyarrow.Table
        A row per object, in the order of labels; columns as in `INSTANCES`.
    """
    columns = survey_objects(labelling, pixel_size, min_silt_um)
    return Instances(name, labelling, columns, pixel_size, scales).slice()


def place_centroids(columns: Columns, chosen: Bools, um: float) -> Floats:
    """Return centroids of some objects in µm from the upper left corner, rows before columns."""
    rows, columns_px = (columns[f"centroid_{axis}_px"][chosen] for axis in ("row", "column"))
    return np.stack([(rows + 0.5) * um, (columns_px + 0.5) * um], axis=1)


def frame_shape(labelling: Labelling) -> tuple[int, int]:
    """Return rows and columns of the specimen, which frames the objects."""
    return labelling.specimen.shape if labelling.specimen else (1, 1)
