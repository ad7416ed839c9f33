"""``mudrock groundtruth``: labels by the paper's image-processing workflow."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mudrock_cli.commands.options import (
    Crop,
    Exclude,
    Force,
    Images,
    JsonPerImage,
    MaskFolder,
    MaxPixels,
    OverridePixelSize,
    PixelSizeText,
    Scheduler,
    parse_crop,
    parse_save,
    read_pixel_sizes,
)
from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.image.limits import MAX_PIXELS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mudrock_cli.classical.recipe import WorkflowRecipe
    from mudrock_cli.commands.console import Column
    from mudrock_cli.commands.masks import Job
    from mudrock_cli.report.overlay import StepSheet

SIDES = {"overlay": ".overlay.png", "steps": ".steps.png"}


def groundtruth(
    inputs: Images,
    out: MaskFolder,
    recipe: Annotated[
        str,
        typer.Option(metavar="NAME|FILE", help="groundtruth, exact, threshold, or a TOML file."),
    ] = "groundtruth",
    pixel_size: PixelSizeText = None,
    save: Annotated[str, typer.Option(help="Save beside each mask: overlay,steps.")] = "",
    band: Annotated[
        bool,
        typer.Option("--band", help="Report low and high fractions within the tolerances, too."),
    ] = False,
    outlines: Annotated[
        Literal["labels", "exact"] | None,
        typer.Option(help="exact: the visible ones, to measure (the recipe exact)."),
    ] = None,
    force: Force = False,
    as_json: JsonPerImage = False,
    override_pixel_size: OverridePixelSize = False,
    crop: Crop = None,
    exclude: Exclude = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    scheduler: Scheduler = None,
) -> None:
    """Label silt, pore and clay without a network, by image processing.

    Writes the masks that segment writes. The workflow is that of Bihani et al. (2022): median
    smoothing, contrast by top-hat and bottom-hat on several scales, a threshold for pores, silt by
    erosion and dilation of the solid and its size. Correct the masks by hand in Fiji, QuPath,
    napari or GIMP, and train on them. All lengths are physical: an image needs a pixel size.
    """
    from mudrock_cli.classical.recipe import load_recipe
    from mudrock_cli.commands.cluster import open_cluster
    from mudrock_cli.commands.masks import MaskOptions, choose_places, make_masks
    from mudrock_cli.files import find_inputs

    sides = parse_save(save, SIDES)
    sizes = read_pixel_sizes(pixel_size, override=override_pixel_size)
    if (recipe, outlines) == ("groundtruth", "exact"):
        recipe = "exact"
    chosen = load_recipe(recipe)
    if outlines and chosen.outlines != outlines:
        hint = "its [silt] rim_nm and [pore] edge_nm are 0 for exact ones"
        raise UsageError(f"--outlines {outlines}: the recipe {recipe} draws other ones", hint)
    options = MaskOptions(
        places=choose_places(out, find_inputs(inputs)),
        fingerprint={
            "method": "groundtruth",
            "recipe": {"name": Path(recipe).stem, "sha256": chosen.digest},
            "outlines": chosen.outlines,
            "options": {"band": band},
        },
        sides=sides,
        all_sides=SIDES,
        pixel_sizes=sizes,
        rims_nm=(chosen.pore.edge_nm, chosen.silt.rim_nm),
        max_pixels=max_pixels,
        force=force,
        json_lines=as_json,
        crop=parse_crop(crop),
        exclude=exclude,
    )
    process = partial(_label_one, recipe=chosen, sides=sides, band=band)
    with open_cluster(scheduler) as cluster:
        code = make_masks(process, options, _columns(band), cluster)
    raise typer.Exit(code)


def _label_one(
    job: "Job", recipe: "WorkflowRecipe", sides: Mapping[str, str], band: bool
) -> dict[str, Any]:
    """Write the mask of one micrograph, its results inside, and what is wanted beside it."""
    from mudrock_cli.classical.recipe import vary_thresholds
    from mudrock_cli.classical.workflow import Workflow, check_scale, frame_phases
    from mudrock_cli.image.mask import create_mask
    from mudrock_cli.image.resample import deduplicate
    from mudrock_cli.report.overlay import StepSheet

    micrograph, deduplicated = job.micrograph, deduplicate(job.micrograph)
    if micrograph.pixel_size is None:
        raise MudrockError(
            f"{micrograph.path or micrograph.name}: no pixel size, and every length is physical",
            "give --pixel-size, for example --pixel-size 10nm",
        )
    check_scale(micrograph, recipe, job.warn)
    workflow = Workflow(deduplicated.micrograph, recipe, mapper=job.mapper, advance=job.advance)
    sheet = StepSheet(workflow.micrograph) if "steps" in sides else None
    recipes = [*(vary_thresholds(recipe) if band else ()), recipe]
    show = sheet.add_band if sheet else None
    found = workflow.find_candidates(recipes, show, job.mapper)
    counts: list[Counter[int]] = []

    def lay(number: int) -> "Iterator[npt.NDArray[np.uint8]]":
        counts.append(Counter())
        phases = workflow.choose_phases(found[number], recipes[number], job.mapper)
        top = 0
        for rows in frame_phases(deduplicated, phases):
            kept = micrograph.leave_out(slice(top, top + len(rows)), rows)
            top += len(rows)
            counts[-1].update(_count(kept))
            yield kept

    for number in range(len(recipes) - 1):
        deque(lay(number), maxlen=0)
    with create_mask(
        job.mask, micrograph.shape, micrograph.pixel_size, job.provenance, micrograph.read
    ) as writer:
        for rows in lay(len(recipes) - 1):
            writer.write_rows(rows)
        statistics = workflow.statistics
        results = _summarise(counts) | {
            "solid_grey": statistics.solid,
            "black_grey": statistics.black,
            "typical_contrast": statistics.typical,
            "noise_contrast": statistics.noise,
        }
        writer.provenance["results"] = results
    _save_sides(job, sides, sheet)
    return results


def _count(phases: "npt.NDArray[np.uint8]") -> dict[int, int]:
    """Count the pixels of each phase."""
    import numpy as np

    return dict(enumerate(np.bincount(phases.ravel()).tolist()))


def _summarise(counts: Sequence[Mapping[int, int]]) -> dict[str, Any]:
    """Return phase fractions of the specimen, and their extremes with varied thresholds.

    Pixels of each phase, by recipe; those of the chosen one are the last.
    """
    from mudrock_cli.image.types import Phase

    pixels = [sum(each.values()) - each[Phase.VOID] for each in counts]
    results: dict[str, Any] = {"specimen_px": pixels[-1]}
    band = {}
    for phase in (Phase.PORE, Phase.SILT, Phase.CLAY):
        shares = [each[phase] / max(total, 1) for each, total in zip(counts, pixels, strict=True)]
        name = f"{phase.name.lower()}_fraction"
        results[name] = shares[-1]
        band[name] = {"low": min(shares), "chosen": shares[-1], "high": max(shares)}
    return results | {"band": band} if len(counts) > 1 else results


def _save_sides(job: "Job", sides: Mapping[str, str], sheet: "StepSheet | None") -> None:
    from mudrock_cli.commands.masks import save_drawings
    from mudrock_cli.image.mask import open_mask

    save_drawings(job, sides)
    if sheet:
        sheet.save(job.beside(sides["steps"]), job.micrograph, open_mask(job.mask))


def _columns(band: bool) -> "list[Column]":
    """Return the columns of the closing table; with a band, 80 characters have no room for clay."""
    from mudrock_cli.commands.console import CLAY_COLUMN, PHASE_COLUMNS, SIZE_COLUMN, Column

    def extremes(name: str, facts: Mapping[str, Any]) -> str:
        spread = facts["band"][f"{name}_fraction"]
        return f"{100 * spread['low']:.1f}–{100 * spread['high']:.1f}"

    if not band:
        return [SIZE_COLUMN, *PHASE_COLUMNS, CLAY_COLUMN]
    pore, silt = PHASE_COLUMNS
    low_high = (Column("low–high", partial(extremes, name)) for name in ("pore", "silt"))
    return [SIZE_COLUMN, pore, next(low_high), silt, next(low_high)]
