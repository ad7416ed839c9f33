"""Measuring one mask: from the file to its instances, its sample and its row of the summary."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.pixel_size import PixelSize
from mudrock_cli.image.window import Reader
from mudrock_cli.measure.objects.cells import CellCounter
from mudrock_cli.measure.objects.labelling import label_mask
from mudrock_cli.measure.summaries.cautions import caution_field, caution_figures
from mudrock_cli.measure.summaries.field import measure_texture, read_windows
from mudrock_cli.measure.summaries.field_summary import describe_field
from mudrock_cli.measure.summaries.instances import Instances, survey_objects
from mudrock_cli.measure.summaries.sample import Sample, take_sample
from mudrock_cli.measure.summaries.summary import summarise
from mudrock_cli.measure.tables.object_columns import counts_as_clay
from mudrock_cli.measure.tables.tables import Rows
from mudrock_cli.spread import Spread, in_turn


@dataclass(frozen=True)
class MeasuredImage:
    """All that is measured of one mask.

    Parameters
    ----------
    instances : Instances or pyarrow.Table
        A row per silt grain or pore, to be made or made.
    sample : Sample
        What it gives to groups.
    figures : dict
        The columns of its summary that a group of images has too.
    row : dict
        Its row of the summary, by column.
    warnings : dict of str to str
        What to know before its figures are used: kind, and the matter in words.
    """

    instances: Rows
    sample: Sample
    figures: dict[str, Any]
    row: dict[str, Any]
    warnings: dict[str, str]


def measure_image(
    name: str,
    mask: PhaseMask,
    pixel_size: PixelSize,
    min_silt_um: float,
    layers: Mapping[str, Reader] | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
    spread: Spread = in_turn,
) -> MeasuredImage:
    """Measure a mask.

    Parameters
    ----------
    name : str
        What the image is called in the tables.
    mask : PhaseMask
        The mask.
    pixel_size : PixelSize
        Side of its pixels.
    min_silt_um : float
        Silt regions up to this ECD count as clay, µm.
    layers : mapping of str to reader, optional
        ``grey`` and ``confidence``, 0 to 255, of the mask's shape.
    advance : callable
        ``advance(done, total)`` is called as rows are done.
    spread : Spread
        Who does the bands.

    Raises
    ------
    MudrockError
        If the mask cannot be read, holds values that are no phase, or no specimen at all.
    """
    is_small = partial(counts_as_clay, pixel_size.um, min_silt_um)
    cells = CellCounter(mask.shape, is_small)
    # Transforms and distance maps let go of Python's lock: they run beside everything else.
    with ThreadPoolExecutor(1) as beside:
        texture = beside.submit(measure_texture, read_windows(mask))
        labelling = label_mask(mask, layers=layers, cells=cells, advance=advance, spread=spread)
        if labelling.specimen is None:
            raise MudrockError(
                f"{mask.path or mask.name}: no specimen in it, all pixels are void",
                "segment the image again, or leave it out",
            )
        columns = survey_objects(labelling, pixel_size, min_silt_um)
        instances = Instances(name, labelling, columns, pixel_size, {"confidence": 255.0})
        sample = take_sample(columns, cells, pixel_size)
        figures = summarise([sample], min_silt_um)
        row = figures | describe_field(
            columns, cells, texture.result(), pixel_size, labelling.specimen
        )
    box, um = labelling.specimen, pixel_size.um
    frame_um = box.height * um, box.width * um
    warnings = caution_figures(figures, [sample]) | caution_field(row, frame_um)
    row |= {
        "scope": "image",
        "image": name,
        "height_px": mask.shape[0],
        "width_px": mask.shape[1],
        "warnings": list(warnings.values()),
        "provenance": json.dumps(dict(mask.provenance), sort_keys=True, ensure_ascii=False),
    }
    return MeasuredImage(instances, sample, figures, row, warnings)
