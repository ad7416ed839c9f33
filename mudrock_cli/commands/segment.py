"""``mudrock segment``: micrographs to phase masks."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import typer

from mudrock_cli.commands.options import (
    RARE,
    Crop,
    EngineName,
    Exclude,
    Force,
    Images,
    JsonPerImage,
    MaskFolder,
    MaxPixels,
    Outlines,
    OverridePixelSize,
    PixelSizeText,
    Scheduler,
    parse_crop,
    parse_save,
    read_pixel_sizes,
)
from mudrock_cli.image.limits import MAX_PIXELS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mudrock_cli.commands.masks import Job
    from mudrock_cli.deeplab.engine import Engine
    from mudrock_cli.deeplab.model import TrainedModel


SIDES = {
    "overlay": ".overlay.png",
    "confidence": ".confidence.tif",
    "instances": ".instances.tif",
}


_LONG_SECONDS = 30.0


def segment(
    inputs: Images,
    out: MaskFolder,
    model: Annotated[
        str | None,
        typer.Option(
            help="A model that ships (see mudrock models) or a model folder.", metavar="NAME"
        ),
    ] = None,
    pixel_size: PixelSizeText = None,
    save: Annotated[
        str, typer.Option(help="Save beside each mask: overlay,confidence,instances.")
    ] = "",
    outlines: Outlines = "labels",
    force: Force = False,
    as_json: JsonPerImage = False,
    override_pixel_size: OverridePixelSize = False,
    crop: Crop = None,
    exclude: Exclude = None,
    engine: Annotated[
        EngineName,
        typer.Option(
            help="auto: Keras where a GPU is usable, else OpenVINO.", rich_help_panel=RARE
        ),
    ] = "auto",
    max_pixels: MaxPixels = MAX_PIXELS,
    scheduler: Scheduler = None,
) -> None:
    """Segment micrographs into silt, pore and clay.

    Writes a mask NAME.tif per image: 0 clay, 1 silt, 2 pore, 255 no specimen (the data bar), with
    the pixel size and how it was made inside. A mask that is there already for the same image,
    model and options is kept, so a run that was stopped goes on where it stopped. With --out
    NAME.zarr the mask is a label image of an OME-Zarr, which holds the micrograph too; several
    inputs become an OME-Zarr each in that folder.
    """
    from mudrock_cli.commands.cluster import open_cluster
    from mudrock_cli.commands.console import CLAY_COLUMN, PHASE_COLUMNS, RIMS_NM, SIZE_COLUMN
    from mudrock_cli.commands.masks import MaskOptions, choose_places, make_masks
    from mudrock_cli.deeplab.model import DEFAULT_MODEL, list_models, load_model
    from mudrock_cli.deeplab.training_range import read_training_range
    from mudrock_cli.files import find_inputs
    from mudrock_cli.segmentation import choose_engine, name_prior, share_engine

    sides = parse_save(save, SIDES)
    sizes = read_pixel_sizes(pixel_size, override=override_pixel_size)
    places = choose_places(out, find_inputs(inputs))
    model = model or DEFAULT_MODEL
    trained = load_model(model)
    chosen = choose_engine(trained, engine)
    if trained.warning:
        typer.echo(f"warning: {trained.warning}", err=True)
    read_training_range(trained)  # a damaged card is told before any work

    options = MaskOptions(
        places=places,
        fingerprint={
            "method": "segment",
            "model": trained.describe(),
            "outlines": outlines,
            "options": {"engine": chosen, "workflow": name_prior(trained)},
        },
        sides=sides,
        all_sides=SIDES,
        pixel_sizes=sizes,
        rims_nm=RIMS_NM if outlines == "labels" else (0, 0),
        max_pixels=max_pixels,
        force=force,
        json_lines=as_json,
        crop=parse_crop(crop),
        exclude=exclude,
    )
    # A model that ships lies elsewhere on other machines; of any other they see the folder.
    ships = model in list_models()
    reference = model if ships else str(trained.path.absolute())
    start_engine = partial(share_engine, reference, trained.digest, chosen)
    process = partial(
        _segment_one, model=trained, start_engine=start_engine, outlines=outlines, sides=sides
    )
    columns = (SIZE_COLUMN, *PHASE_COLUMNS, CLAY_COLUMN)
    with open_cluster(scheduler) as cluster:
        needed = [] if ships else [trained.path]
        code = make_masks(process, options, columns, cluster, needed)
    raise typer.Exit(code)


def _segment_one(
    job: "Job",
    model: "TrainedModel",
    start_engine: Callable[[], "Engine"],
    outlines: Literal["labels", "exact"],
    sides: Mapping[str, str],
) -> dict[str, Any]:
    """Write the mask of one micrograph, and what is wanted beside it."""
    from mudrock_cli.commands.console import format_duration
    from mudrock_cli.commands.inspect import estimate_seconds
    from mudrock_cli.segmentation import is_in_reach, resample_factor, segment_mask

    factor = resample_factor(job.micrograph, model.nm_per_pixel)
    seconds = estimate_seconds(job.micrograph.specimen.shape, factor)
    enlarged = factor > model.scale_range[1] and is_in_reach(model, factor)
    if enlarged and seconds > _LONG_SECONDS:
        job.warn(
            "enlarged, which takes long",
            f"{job.micrograph.path}: enlarged {factor:.3g} times, which takes about "
            f"{format_duration(seconds)}",
        )
    job.mask.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=job.mask.parent) as spool:
        mask = segment_mask(
            job.micrograph,
            model,
            start_engine,
            outlines=outlines,
            out=job.mask,
            provenance=job.provenance,
            confidence=spool if "confidence" in sides else None,
            advance=job.advance,
            warn=job.warn,
            mapper=job.mapper,
            parts=job.cluster.tasks if job.cluster else 1,
        )
        _save_sides(job, sides, spool)
    results: dict[str, Any] = mask.provenance["results"]
    return results


def _save_sides(job: "Job", sides: Mapping[str, str], spool: IO[bytes]) -> None:
    """Write the files beside a mask that is finished."""
    from mudrock_cli.commands.masks import save_drawings
    from mudrock_cli.image.tiff import write_plane

    save_drawings(job, sides)
    if "confidence" in sides:
        shape, place = job.micrograph.shape, job.beside(sides["confidence"])
        bands = _read_spool(spool, shape)
        write_plane(place, shape, "uint8", bands, job.micrograph.pixel_size)


def _read_spool(spool: IO[bytes], shape: tuple[int, int]) -> "Iterator[npt.NDArray[np.uint8]]":
    import numpy as np

    spool.seek(0)
    for _ in range(shape[0]):
        yield np.frombuffer(spool.read(shape[1]), np.uint8).reshape(1, shape[1])
