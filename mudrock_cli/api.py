"""The commands as functions for Python: see `mudrock_cli`, which offers them without loading all.

import mudrock_cli as mudrock

mask = mudrock.segment("micrograph.tif", pixel_size="10nm")
phases = mask.phases()  # uint8: 0 clay, 1 silt, 2 pore, 255 no specimen
instances, summary = mudrock.stats(mask)  # pandas, a row per grain and pore, and per image
instances[instances.phase == "pore"].ecd_um.describe()
"""

import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.mask import PhaseMask, find_masks, find_pixel_size
from mudrock_cli.image.mask import open_mask as _open_mask
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.micrograph import open_micrograph as _open_micrograph
from mudrock_cli.image.types import Colours, PixelSize, Samples

if TYPE_CHECKING:
    import pandas as pd

    from mudrock_cli.classical.recipe import WorkflowRecipe
    from mudrock_cli.deeplab.model import TrainedModel

Image = str | os.PathLike[str] | npt.NDArray[Any] | Micrograph
Mask = str | os.PathLike[str] | npt.NDArray[np.uint8] | PhaseMask
Length = float | str | PixelSize | None
"""A pixel size: nanometres, a text such as ``"10nm"``, or a `PixelSize`."""


def open_micrograph(image: Image, *, pixel_size: Length = None) -> Micrograph:
    """Open an image as a grey micrograph.

    Parameters
    ----------
    image : path, ndarray or Micrograph
        TIFF, PNG, JPEG, BMP or OME-Zarr, read through windows. Or an array of shape (rows, columns)
        of grey levels, or (rows, columns, 3) of red, green, blue, of any type of numbers: uint8 is
        taken as it is, others are brought to 0..255 as those of files are.
    pixel_size : float, str or PixelSize, optional
        Nanometres, or a length with its unit; overrides what a file tells.

    Raises
    ------
    MudrockError
        If the file cannot be read as a micrograph, or the array is none.

    Warns
    -----
    UserWarning
        Of what was left out of a file, as of all pages but the first.
    """
    size = _to_pixel_size(pixel_size)
    if isinstance(image, Micrograph):
        return image if size is None else replace(image, pixel_size=size)
    if isinstance(image, np.ndarray):
        return _wrap_array(image, size)
    micrograph = _open_micrograph(Path(image), pixel_size=size)
    for line in micrograph.warnings:
        _warn(line, f"{image}: {line}")
    return micrograph


def open_mask(mask: Mask, *, pixel_size: Length = None) -> PhaseMask:
    """Open a phase mask.

    Parameters
    ----------
    mask : path, ndarray or PhaseMask
        A mask that mudrock wrote, or one edited or made elsewhere. Or an array of uint8, shape
        (rows, columns): 0 clay, 1 silt, 2 pore, 255 no specimen.
    pixel_size : float, str or PixelSize, optional
        Nanometres, or a length with its unit; overrides what a file tells.

    Raises
    ------
    MudrockError
        If it is no mask.
    """
    size = _to_pixel_size(pixel_size)
    if isinstance(mask, PhaseMask):
        found = mask
    elif isinstance(mask, np.ndarray):
        if mask.ndim != 2 or mask.dtype != np.uint8 or not np.isin(mask, (0, 1, 2, 255)).all():
            raise MudrockError(
                f"a mask is uint8 in two dimensions of 0, 1, 2 and 255, not {mask.dtype} of shape "
                f"{mask.shape}",
                "mask.astype('uint8')",
            )
        found = PhaseMask.from_array("array", mask)
    else:
        found = _open_mask(Path(mask))
    return found if size is None else replace(found, pixel_size=size)


def load_model(model: "str | os.PathLike[str] | TrainedModel" = "kumano") -> "TrainedModel":
    """Load a model by its name or its folder; see `mudrock_cli.deeplab.model.load_model`."""
    from mudrock_cli.deeplab import model as models

    return model if isinstance(model, models.TrainedModel) else models.load_model(str(model))


def segment(
    image: Image,
    *,
    model: "str | os.PathLike[str] | TrainedModel" = "kumano",
    pixel_size: Length = None,
    outlines: Literal["labels", "exact"] = "labels",
) -> PhaseMask:
    """Segment a micrograph into silt, pore and clay, as ``mudrock segment`` does.

    Parameters
    ----------
    image, pixel_size
        See `open_micrograph`.
    model : str, path or TrainedModel
        A model that ships, a model folder, or what `load_model` returned.
    outlines : str
        ``labels``: 10 nm (pores) and 145 nm (silt) inside the visible ones, as published labels
        draw them; ``exact``: the visible ones, to measure.

    Returns
    -------
    PhaseMask
        Its ``phases()`` are uint8 of the image's shape: 0 clay, 1 silt, 2 pore, 255 no specimen.
        ``provenance["results"]`` has the phases' fractions and how sure the network was.

    Raises
    ------
    MudrockError
        If image or model cannot be read, the image is of one grey, or its pixels are so large or
        small that the model cannot see what it was trained for.

    Warns
    -----
    UserWarning
        Of what to look at before the mask is trusted.
    """
    from mudrock_cli.segmentation import choose_engine, segment_mask, share_engine

    trained = load_model(model)
    start = partial(
        share_engine, str(trained.path.absolute()), trained.digest, choose_engine(trained)
    )
    if trained.warning:
        _warn("", trained.warning)
    micrograph = open_micrograph(image, pixel_size=pixel_size)
    return segment_mask(micrograph, trained, start, outlines=outlines, warn=_warn)


def groundtruth(
    image: Image,
    *,
    recipe: "str | os.PathLike[str] | WorkflowRecipe" = "groundtruth",
    pixel_size: Length = None,
) -> PhaseMask:
    """Label silt, pore and clay by image processing alone, as ``mudrock groundtruth`` does.

    Parameters
    ----------
    image, pixel_size
        See `open_micrograph`; a pixel size is needed, every length of a recipe being physical.
    recipe : str, path or WorkflowRecipe
        ``groundtruth``, ``exact``, ``threshold``, a TOML file, or a recipe.

    Raises
    ------
    MudrockError
        If image or recipe cannot be read, the image is of one grey or has no pixel size.

    Warns
    -----
    UserWarning
        Of what to look at before the mask is trusted.
    """
    from mudrock_cli.classical.recipe import WorkflowRecipe, load_recipe
    from mudrock_cli.classical.workflow import check_scale, label_phases

    chosen = recipe if isinstance(recipe, WorkflowRecipe) else load_recipe(str(recipe))
    name = "own" if isinstance(recipe, WorkflowRecipe) else Path(recipe).stem
    micrograph = open_micrograph(image, pixel_size=pixel_size)
    if micrograph.pixel_size is None:
        raise MudrockError(
            f"{micrograph.path or micrograph.name}: no pixel size, and every length is physical",
            'give it, for example pixel_size="10nm"',
        )
    facts = {
        "method": "groundtruth",
        "recipe": {"name": name, "sha256": chosen.digest},
        "outlines": chosen.outlines,
    }
    check_scale(micrograph, chosen, _warn)
    phases = label_phases(micrograph, chosen)
    return PhaseMask.from_array(micrograph.name, phases, micrograph.pixel_size, facts)


def stats(
    masks: Mask | Iterable[Mask],
    *,
    pixel_size: Length = None,
    min_silt_um: float = 2.0,
    min_pore: Length = None,
    groups: Mapping[str, str] | None = None,
    split: bool = False,
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Measure every silt grain and pore of masks, as ``mudrock stats`` does.

    Parameters
    ----------
    masks : path, ndarray or PhaseMask, or several
        A folder stands for all masks in it. See `open_mask`.
    pixel_size : float, str or PixelSize, optional
        Of all masks; needed where they do not tell.
    min_silt_um : float
        Silt regions up to this equivalent-circle diameter count as clay, µm.
    min_pore : float, str or PixelSize, optional
        Pores with a smaller equivalent-circle diameter, in nanometres or with its unit, are left
        out of numbers, sizes and spacing; porosity holds them.
    groups : mapping of str, optional
        Group of an image by its name, to pool by.
    split : bool
        Divide silt grains that touch at their necks.

    Returns
    -------
    instances : pandas.DataFrame
        A row per silt grain and pore, the columns of ``report.parquet``.
    summary : pandas.DataFrame
        A row per image, per group, per pair of groups and one pooled; the columns of
        ``report.summary.parquet``.

    Raises
    ------
    MudrockError
        If a mask cannot be read, has no pixel size or no specimen, or a group none of the images.

    Warns
    -----
    UserWarning
        Of what to know before the figures are used.
    """
    import pyarrow as pa

    from mudrock_cli.measure.groups import pool_fields
    from mudrock_cli.measure.schema import INSTANCES, SUMMARY, make_schema, pack_values
    from mudrock_cli.measure.summary import measure_image

    least = _to_pixel_size(min_pore or None, "min_pore")
    min_pore_um = least.um if least else 0.0
    opened = _open_all(masks, pixel_size)
    if not opened:
        raise MudrockError("no mask to measure", "give at least one")
    known = dict(groups or {})
    if unknown := [name for name in known if name not in opened]:
        raise MudrockError(
            f"groups: no image called {unknown[0]}", f"they are called {', '.join(opened)}"[:200]
        )
    tables, rows, fields = [], [], {}
    for name, mask in opened.items():
        if mask.pixel_size is None:
            raise MudrockError(
                f"{mask.path or name}: the pixel size is not known",
                'give it, for example pixel_size="10nm"',
            )
        found = measure_image(
            name, mask, mask.pixel_size, min_silt_um, split=split, min_pore_um=min_pore_um
        )
        for kind, message in found.warnings.items():
            _warn(kind, f"{name}: {message}")
        group = known.get(name)
        tables.append(found.instances.slice().replace_schema_metadata(None))
        rows.append(found.row | {"group": group, "mask": mask.path and str(mask.path)})
        fields[name] = found.field
    rows += pool_fields(fields, known, min_silt_um, min_pore_um)
    instances = pa.concat_tables(tables).cast(make_schema(INSTANCES, "instances", {}))
    columns = [pack_values([row.get(c.name) for row in rows], c.type) for c in SUMMARY]
    summary = pa.Table.from_arrays(columns, schema=make_schema(SUMMARY, "summary", {}))
    return instances.to_pandas(), summary.to_pandas()


def _open_all(masks: Mask | Iterable[Mask], pixel_size: Length) -> dict[str, PhaseMask]:
    """Open masks, by names that are all different."""
    several: Iterable[Mask]
    several = [masks] if isinstance(masks, str | os.PathLike | np.ndarray | PhaseMask) else masks
    opened: dict[str, PhaseMask] = {}
    for given in several:
        if isinstance(given, np.ndarray | PhaseMask):
            mask = open_mask(given, pixel_size=pixel_size)
            found = [(mask.name, mask)]
        else:
            items, replaced = find_masks([os.fspath(given)])
            for line in replaced:
                _warn("", line)
            found = []
            for item in items:
                mask = open_mask(item.path, pixel_size=pixel_size)
                size = find_pixel_size(mask)
                found.append((item.relative.as_posix(), replace(mask, pixel_size=size)))
        for name, mask in found:
            names = (name, str(mask.path or name), *(f"{name} ({n})" for n in range(2, 10_000)))
            opened[next(free for free in names if free not in opened)] = mask
    return opened


def _wrap_array(image: npt.NDArray[Any], size: PixelSize | None) -> Micrograph:
    """Take an array as the samples of a file are taken."""
    from mudrock_cli.image.data_bar import find_specimen
    from mudrock_cli.image.grey import read_grey, read_levels

    stored = image[:, :, None] if image.ndim == 2 else image
    colours = {1: Colours.GREY, 3: Colours.RGB}.get(stored.shape[-1]) if stored.ndim == 3 else None
    if colours is None or stored.dtype.kind not in "uif" or min(stored.shape) < 1:
        raise MudrockError(
            f"no micrograph: {image.dtype} of shape {image.shape}",
            "give grey levels (rows, columns), or red, green, blue (rows, columns, 3)",
        )
    samples = Samples(
        path=Path("array"),
        shape=(stored.shape[0], stored.shape[1]),
        channels=stored.shape[2],
        dtype=stored.dtype,
        bits=8 * stored.dtype.itemsize,
        colours=colours,
        read=lambda rows, columns: stored[rows, columns],
    )
    specimen = find_specimen(read_levels(samples), samples.shape, ())
    read = read_grey(samples, specimen)
    return Micrograph("array", None, samples.shape, read, specimen, size)


def _to_pixel_size(length: Length, name: str = "pixel_size") -> PixelSize | None:
    if length is None or isinstance(length, PixelSize):
        return length
    if isinstance(length, str):
        return PixelSize.parse(length, name)
    return PixelSize(float(length), name)


def _warn(kind: str, message: str) -> None:
    """Pass a warning on to the caller of a function of this module."""
    warnings.warn(message, UserWarning, stacklevel=_count_frames())


def _count_frames() -> int:
    """Return how many frames lie between a warning and the code outside of the package."""
    frame, count = sys._getframe(1), 1
    while frame.f_back and str(frame.f_globals.get("__name__", "")).startswith("mudrock_cli"):
        frame, count = frame.f_back, count + 1
    return count
