"""``mudrock inspect``: what micrographs are, before anything is made of them."""

import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mudrock_cli.commands.options import (
    Images,
    MaxPixels,
    OverridePixelSize,
    PixelSizes,
    PixelSizeText,
    read_pixel_sizes,
)
from mudrock_cli.errors import ExitCode, MudrockError
from mudrock_cli.image.limits import MAX_PIXELS

if TYPE_CHECKING:
    import numpy.typing as npt
    from rich.table import Table

    from mudrock_cli.commands.batch import Hooks
    from mudrock_cli.deeplab.model import TrainedModel
    from mudrock_cli.files import Input
    from mudrock_cli.image.micrograph import Micrograph

Facts = dict[str, Any]

_SILT_UM = 2.0  # the least diameter of silt
_BANDS, _BAND_ROWS = 8, 32  # of the specimen, for its greys
_START_SECONDS = 2.0
_CORE_SECONDS = 2e-6  # per pixel at the model's size, of the model that ships; half with AVX-512


def inspect(
    inputs: Images,
    model: Annotated[
        str | None,
        typer.Option(help="The model that shall segment them; see mudrock models.", metavar="NAME"),
    ] = None,
    pixel_size: PixelSizeText = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON line per image on stdout, with all figures.")
    ] = False,
    override_pixel_size: OverridePixelSize = False,
    max_pixels: MaxPixels = MAX_PIXELS,
) -> None:
    """Look at micrographs before you segment them.

    Prints size, depth in bits (c: in colours; ×3: three pages), pixel size, width of the field,
    rows of the data bar, greys and their contrast, how many grains of 2 µm, the least silt, fit
    into the field side by side, whether the model suits (size?: no pixel size; coarse, fine:
    outside what it was trained for; flat: no contrast), and roughly how long segment will take on
    this machine. It reads headers and a few rows: thousands of files are no matter.
    """
    from mudrock_cli.commands.batch import run_all
    from mudrock_cli.commands.console import Console
    from mudrock_cli.deeplab.model import DEFAULT_MODEL, load_model
    from mudrock_cli.files import find_inputs

    sizes = read_pixel_sizes(pixel_size, override=override_pixel_size)
    found = find_inputs(inputs)
    sizes.check(found)
    trained = load_model(model or DEFAULT_MODEL)
    rows: list[Facts] = []
    with Console("images", len(found), json_lines=as_json) as console:
        for done in run_all(found, partial(look_at, trained, sizes, max_pixels), console):
            console.count()
            facts: Facts = {"input": str(done.item.path)}
            if done.error is not None:
                console.print_error(done.error)
                facts |= {"error": done.error.message, "hint": done.error.hint}
            else:
                facts |= done.result or {}
                facts["warnings"] = [message for _, message in done.warnings]
                rows.append(facts)
            if as_json:
                console.print_json(facts)
    console.close(_tabulate(rows) if rows else None, _describe(rows, trained))
    raise typer.Exit(ExitCode.DONE if len(rows) == len(found) else ExitCode.SOME_FAILED)


def look_at(
    model: "TrainedModel", sizes: PixelSizes, max_pixels: int, item: "Input", hooks: "Hooks"
) -> Facts:
    """Return what is known of a micrograph from its header and a few rows.

    Raises
    ------
    MudrockError
        If it cannot be read as a micrograph.
    """
    from mudrock_cli.image.micrograph import open_micrograph, open_samples

    samples = open_samples(item.path, max_pixels)
    micrograph = open_micrograph(item.path, max_pixels=max_pixels)
    for warning in micrograph.warnings:
        hooks.warn(warning, f"{item.path}: {warning}")
    size = sizes.choose(item, micrograph.pixel_size, hooks.warn)
    micrograph = replace(micrograph, pixel_size=size)
    (height, width), specimen = micrograph.shape, micrograph.specimen
    facts: Facts = {
        "width_px": width,
        "height_px": height,
        "bits": samples.bits,
        "colours": samples.colours.name.lower(),
        "pages": _count_pages(item.path),
        "pixel_size_nm": size.nm if size else None,
        "pixel_size_source": size.source if size else None,
        "pixel_size_note": micrograph.instrument.get("pixel_size_note"),
        "data_bar_px": height - specimen.height,
    }
    low, high, spread = _measure_greys(micrograph)
    facts |= {"grey_low": low, "grey_high": high, "contrast": spread}
    if size:
        field_um = specimen.width * size.um, specimen.height * size.um
        facts["field_width_um"], facts["field_height_um"] = (round(side, 3) for side in field_um)
        facts["silt_grains_that_fit"] = math.prod(int(side / _SILT_UM) for side in field_um)
    return facts | _judge(micrograph, model, high - low, hooks.warn)


def _count_pages(path: Path) -> int:
    """Return how many images a file holds."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            return len(tiff.pages)
    except (OSError, ValueError, tifffile.TiffFileError):  # another format
        return 1


def _measure_greys(micrograph: "Micrograph") -> tuple[float, float, float]:
    """Return the darkest and the brightest hundredth, and the standard deviation of greys."""
    import numpy as np

    read, (height, _) = micrograph.read_specimen(), micrograph.specimen.shape
    tops = np.linspace(0, max(0, height - _BAND_ROWS), min(_BANDS, -(-height // _BAND_ROWS)))
    bands: list[npt.NDArray[np.uint8]] = [
        read(slice(int(top), int(top) + _BAND_ROWS), slice(None)).ravel() for top in tops
    ]
    greys = np.concatenate(bands) if bands else np.zeros(1, np.uint8)
    low, high = np.percentile(greys, (1, 99)) if greys.size else (0.0, 0.0)
    return float(low), float(high), round(float(greys.std()), 1)


def _judge(
    micrograph: "Micrograph",
    model: "TrainedModel",
    grey_range: float,
    warn: Callable[[str, str], None],
) -> Facts:
    """Return whether a model suits a micrograph, and how long it will take."""
    from mudrock_cli.segmentation import LEAST_GREYS, check_scale, resample_factor

    factor = resample_factor(micrograph, model.nm_per_pixel)
    notes: list[str] = []
    refused = None
    try:
        check_scale(micrograph, model, factor, lambda kind, message: notes.append(kind))
    except MudrockError as error:
        refused = error.message
    if grey_range < LEAST_GREYS:
        refused = f"{micrograph.path}: every pixel has the same grey, or nearly"
    if refused:
        warn("segment will skip it", f"{refused}; segment will skip it")
    seconds = None if refused else estimate_seconds(micrograph.specimen.shape, factor)
    if grey_range < LEAST_GREYS:
        note: str | None = "flat"
    elif micrograph.pixel_size is None:
        note = "size?"
    else:
        note = ("coarse" if factor > 1 else "fine") if notes or refused else None
    return {
        "model": model.name,
        "resample_factor": round(factor, 4),
        "model_suits": None if note == "size?" else note is None,
        "model_note": note,
        "segment_seconds": None if seconds is None else round(seconds, 2),
    }


def estimate_seconds(shape: tuple[int, int], factor: float) -> float:
    """Return roughly how long the model that ships takes for a specimen on this machine's cores.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    factor : float
        By which it is resampled to the model's pixel size.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return _CORE_SECONDS * math.prod(shape) * factor**2 / cores


def _tabulate(rows: Sequence[Mapping[str, Any]]) -> "Table":
    from mudrock_cli.commands.console import lay_table

    headings = ["pixels", "bits", "nm/px", "µm", "bar", "grey", "grains", "model", "time"]
    names = [Path(row["input"]).name for row in rows]
    return lay_table("image", headings, names, [_cells(row) for row in rows], gap=1)


def _cells(row: Mapping[str, Any]) -> list[str]:
    from mudrock_cli.commands.console import format_duration

    size, seconds = row["pixel_size_nm"], row["segment_seconds"]
    bits = f"{row['bits']}" + ("c" if row["colours"] in ("palette", "rgb") else "")
    return [
        f"{row['width_px']}×{row['height_px']}",
        bits + (f"×{row['pages']}" if row["pages"] > 1 else ""),
        f"{size:.4g}" if size else "?",
        f"{row['field_width_um']:.3g}" if size else "?",
        str(row["data_bar_px"] or "–"),
        f"{row['grey_low']:.0f}–{row['grey_high']:.0f} ±{row['contrast']:.0f}",
        str(row["silt_grains_that_fit"]) if size else "?",
        row["model_note"] or "suits",
        format_duration(seconds) if seconds is not None else "–",
    ]


def _describe(rows: Sequence[Mapping[str, Any]], model: "TrainedModel") -> list[str]:
    """Return the lines below the table."""
    from mudrock_cli.commands.console import format_duration

    if not rows:
        return []
    sources = Counter(row["pixel_size_source"] or "none" for row in rows)
    low, high = (model.nm_per_pixel * bound for bound in model.scale_range)
    seconds = [row["segment_seconds"] for row in rows if row["segment_seconds"] is not None]
    skipped = len(rows) - len(seconds)
    takes = format_duration(sum(seconds) + (_START_SECONDS if seconds else 0))
    noun = "image" if len(rows) == 1 else "images"
    line = f"{len(rows)} {noun}; segment will take about {takes} on this machine"
    return [
        "pixel sizes from: "
        + "; ".join(f"{source} ({count})" for source, count in sources.most_common()),
        "µm: width of the field; bar: rows of the data bar; grey: darkest and brightest "
        f"hundredth ± deviation; grains: of {_SILT_UM:g} µm, side by side in the field",
        f"the model {model.name} was trained for {low:.3g} to {high:.3g} nm per pixel",
        line + (f", and skip {skipped}" if skipped else ""),
    ]
