"""``mudrock segment``: micrographs to phase masks."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import typer

from mudrock_cli.commands.options import (
    RARE,
    Force,
    Images,
    JsonPerImage,
    MaskFolder,
    MaxPixels,
    OverridePixelSize,
    PixelSizeText,
    Scheduler,
    parse_save,
    read_pixel_sizes,
)
from mudrock_cli.image.limits import MAX_PIXELS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mudrock_cli.commands.batch import Job
    from mudrock_cli.deeplab.engine import Engine
    from mudrock_cli.deeplab.inference import SegmentedBand
    from mudrock_cli.deeplab.model import TrainedModel
    from mudrock_cli.deeplab.training_range import Domain
    from mudrock_cli.image.resample import Deduplicated


SIDES = {
    "overlay": ".overlay.png",
    "confidence": ".confidence.tif",
    "instances": ".instances.tif",
}
_NO_PIXEL_SIZE = "no pixel size in the file; segmented as it is, and the mask has none"


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
    force: Force = False,
    as_json: JsonPerImage = False,
    override_pixel_size: OverridePixelSize = False,
    engine: Annotated[
        Literal["auto", "openvino", "keras"],
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
    from mudrock_cli.commands.batch import BatchOptions, choose_places, make_masks
    from mudrock_cli.commands.cluster import open_cluster
    from mudrock_cli.commands.console import CLAY_COLUMN, PHASE_COLUMNS, SIZE_COLUMN
    from mudrock_cli.commands.prediction import choose_engine, name_workflow, share_engine
    from mudrock_cli.deeplab.model import DEFAULT_MODEL, list_models, load_model
    from mudrock_cli.deeplab.training_range import read_domain
    from mudrock_cli.files import find_inputs

    sides = parse_save(save, SIDES)
    sizes = read_pixel_sizes(pixel_size, override=override_pixel_size)
    places = choose_places(out, find_inputs(inputs))
    model = model or DEFAULT_MODEL
    trained = load_model(model)
    chosen, domain = choose_engine(trained, engine), read_domain(trained)

    options = BatchOptions(
        places=places,
        fingerprint={
            "method": "segment",
            "model": {"name": trained.name, "sha256": trained.digest},
            "options": {"engine": chosen, "workflow": name_workflow(trained)},
        },
        sides=sides,
        all_sides=SIDES,
        pixel_sizes=sizes,
        max_pixels=max_pixels,
        force=force,
        json_lines=as_json,
    )
    # A model that ships lies elsewhere on other machines; of any other they see the folder.
    ships = model in list_models()
    reference = model if ships else str(trained.path.absolute())
    start_engine = partial(share_engine, reference, trained.digest, chosen)
    process = partial(
        _segment_one, model=trained, domain=domain, start_engine=start_engine, sides=sides
    )
    columns = (SIZE_COLUMN, *PHASE_COLUMNS, CLAY_COLUMN)
    with open_cluster(scheduler) as cluster:
        needed = [] if ships else [trained.path]
        code = make_masks(process, options, columns, cluster, needed)
    raise typer.Exit(code)


def _segment_one(
    job: "Job",
    model: "TrainedModel",
    domain: "Domain",
    start_engine: Callable[[], "Engine"],
    sides: Mapping[str, str],
) -> dict[str, Any]:
    """Write the mask of one micrograph, and what is wanted beside it."""
    import numpy as np

    from mudrock_cli.commands.prediction import compare_with_domain
    from mudrock_cli.deeplab.inference import resample_factor
    from mudrock_cli.image.mask import create_mask
    from mudrock_cli.image.resample import deduplicate

    micrograph, deduplicated = job.micrograph, deduplicate(job.micrograph)
    factor = resample_factor(deduplicated.micrograph, model.nm_per_pixel)
    _warn_of_scale(job, model, factor)
    counts, entropy = np.zeros(256, np.int64), 0.0
    bands = _segment_bands(job, deduplicated, model, start_engine, confidence="confidence" in sides)
    job.mask.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=job.mask.parent) as spool:
        with create_mask(
            job.mask, micrograph.shape, micrograph.pixel_size, job.provenance, micrograph.read
        ) as writer:
            for band in bands:
                writer.write_rows(band.phases)
                counts += np.bincount(band.phases.ravel(), minlength=256)
                entropy += band.entropy
                if "confidence" in sides:
                    spool.write(band.confidence.tobytes())
            results = _summarise(counts, entropy) | {"resample_factor": factor}
            seen, doubt = deduplicated.micrograph, results["mean_entropy"]
            results |= compare_with_domain(job, seen, model, domain, doubt)
            writer.provenance["results"] = results
        _save_sides(job, sides, spool)
    return results


def _segment_bands(
    job: "Job",
    deduplicated: "Deduplicated",
    model: "TrainedModel",
    start_engine: Callable[[], "Engine"],
    *,
    confidence: bool,
) -> "Iterator[SegmentedBand]":
    """Segment a micrograph here, or in parts on a cluster; bands are those of its file."""
    from mudrock_cli.commands.prediction import ask_workflow
    from mudrock_cli.deeplab.inference import restore_bands, segment_bands, spread_bands

    seen, recipe = deduplicated.micrograph, model.recipe
    opinion = ask_workflow(recipe, seen, model.temperature, job.mapper)
    if job.cluster is None:
        bands = segment_bands(seen, start_engine(), recipe, job.advance, opinion)
        return restore_bands(bands, deduplicated)
    bands = spread_bands(
        seen,
        start_engine,
        recipe,
        mapper=job.mapper,
        tasks=job.cluster.tasks,
        confidence=confidence,
        advance=job.advance,
        opinion=opinion,
    )
    return restore_bands(bands, deduplicated)


def _warn_of_scale(job: "Job", model: "TrainedModel", factor: float) -> None:
    low, high = model.scale_range
    size = job.micrograph.pixel_size
    source = job.micrograph.path or job.micrograph.name
    if size is None:
        job.warn("no pixel size", f"{source}: {_NO_PIXEL_SIZE}; give --pixel-size")
    elif not low <= factor <= high:
        least, most = (model.nm_per_pixel * bound for bound in (low, high))
        job.warn(
            "pixel size outside what the model was trained for",
            f"{source}: {size.nm:g} nm per pixel, so it is resampled {factor:.3g} times; "
            f"the model {model.name} was trained for {least:g} to {most:g} nm: check the overlay",
        )


def _summarise(counts: "npt.NDArray[np.int64]", entropy: float) -> dict[str, Any]:
    """Return phase fractions of the specimen, and the network's doubt averaged over it."""
    from mudrock_cli.image.types import Phase

    specimen = int(counts.sum() - counts[Phase.VOID])
    total = max(specimen, 1)
    return {
        "specimen_px": specimen,
        "pore_fraction": int(counts[Phase.PORE]) / total,
        "silt_fraction": int(counts[Phase.SILT]) / total,
        "clay_fraction": int(counts[Phase.CLAY]) / total,
        "mean_entropy": entropy / total,
    }


def _save_sides(job: "Job", sides: Mapping[str, str], spool: IO[bytes]) -> None:
    """Write the files beside a mask that is finished."""
    from mudrock_cli.commands.batch import save_drawings
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
