"""``mudrock groundtruth``: labels by the paper's image-processing workflow."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mudrock_cli.commands.batch import (
    BatchOptions,
    Job,
    Scheduler,
    choose_places,
    parse_pixel_size,
    parse_save,
    run_batch,
)
from mudrock_cli.commands.cluster import open_cluster
from mudrock_cli.commands.console import Column
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.limits import MAX_PIXELS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mudrock_cli.classical.recipe import WorkflowRecipe
    from mudrock_cli.classical.workflow import Draft, Workflow
    from mudrock_cli.image.micrograph import Micrograph
    from mudrock_cli.report.overlay import StepSheet

    Counts = npt.NDArray[np.int64]


SIDES = {"overlay": ".overlay.png", "steps": ".steps.png"}


def groundtruth(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT", help="Images, folders (with subfolders) or globs."),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the masks, mirrors the inputs' folders; or NAME.zarr.")
    ],
    recipe: Annotated[
        str,
        typer.Option(metavar="NAME|FILE", help="groundtruth, exact, threshold, or a TOML file."),
    ] = "groundtruth",
    pixel_size: Annotated[
        str | None, typer.Option(help="Overrides the files: 10nm, 0.01um.", metavar="LENGTH")
    ] = None,
    save: Annotated[str, typer.Option(help="Save beside each mask: overlay,steps.")] = "",
    band: Annotated[
        bool,
        typer.Option("--band", help="Report low and high fractions within the tolerances, too."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Make finished masks again.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON line per image on stdout.")
    ] = False,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Refuse images with more pixels than this.")
    ] = MAX_PIXELS,
    scheduler: Scheduler = None,
) -> None:
    """Label silt, pore and clay without a network, by image processing.

    Writes the masks that segment writes. The workflow is that of Bihani et al. (2022): median
    smoothing, contrast by top-hat and bottom-hat on several scales, a threshold for pores, silt by
    erosion and dilation of the solid and its size. Correct the masks by hand in Fiji, QuPath,
    napari or GIMP, and train on them. All lengths are physical: an image needs a pixel size.
    """
    from mudrock_cli.classical.recipe import load_recipe
    from mudrock_cli.files import find_inputs

    sides = parse_save(save, SIDES)
    size = parse_pixel_size(pixel_size)
    chosen = load_recipe(recipe)
    places = choose_places(out, find_inputs(inputs))
    options = BatchOptions(
        out=places.folder,
        suffix=places.suffix,
        fingerprint={
            "method": "groundtruth",
            "recipe": {"name": Path(recipe).stem, "sha256": chosen.digest},
            "options": {"band": band},
        },
        sides=sides,
        all_sides=SIDES,
        pixel_size=size,
        max_pixels=max_pixels,
        force=force,
        json_lines=as_json,
    )
    columns = _columns(band)
    process = partial(_label_one, recipe=chosen, sides=sides, band=band)
    with open_cluster(scheduler) as cluster:
        code = run_batch(places.inputs, process, options, columns, cluster)
    raise typer.Exit(code)


def _label_one(
    job: Job, recipe: "WorkflowRecipe", sides: Mapping[str, str], band: bool
) -> dict[str, Any]:
    """Write the mask of one micrograph, and what is wanted beside it."""
    from mudrock_cli.classical.recipe import vary
    from mudrock_cli.classical.workflow import Workflow, frame_phases
    from mudrock_cli.image.resample import deduplicate

    micrograph, deduplicated = job.micrograph, deduplicate(job.micrograph)
    if micrograph.pixel_size is None:
        raise MudrockError(
            f"{micrograph.path or micrograph.name}: no pixel size, and every length is physical",
            "give --pixel-size, for example --pixel-size 10nm",
        )
    _warn_of_scale(job, recipe, micrograph.pixel_size.nm)
    workflow = Workflow(deduplicated.micrograph, recipe, mapper=job.mapper)
    sheet = _start_sheet(workflow.micrograph) if "steps" in sides else None
    varied = vary(recipe) if band else ()
    watch = sheet.watch if sheet else None
    *others, draft = workflow.draft([*varied, recipe], job.advance, watch, job.mapper)

    def lay(draft: "Draft") -> "Iterator[npt.NDArray[np.uint8]]":
        phases = draft.phases(workflow.pixel_nm, job.mapper)
        return frame_phases(deduplicated, workflow.restore(phases))

    results = _write(job, workflow, lay(draft), [_count(lay(other)) for other in others])
    _save_sides(job, sides, sheet)
    return results


def _start_sheet(micrograph: "Micrograph") -> "StepSheet":
    from mudrock_cli.report.overlay import StepSheet

    return StepSheet(micrograph)


def _warn_of_scale(job: Job, recipe: "WorkflowRecipe", pixel_nm: float) -> None:
    """Say when the pixels or the field cannot show what the recipe looks for."""
    source, contrast = job.micrograph.path or job.micrograph.name, recipe.contrast
    if not contrast.shows(pixel_nm):
        job.warn(
            "pixels too coarse for the recipe",
            f"{source}: pixels of {pixel_nm:g} nm do not show pores of {contrast.reach_nm:g} nm, "
            "which the recipe looks for; look at the overlay before you trust the mask",
        )
    height, width = (side * pixel_nm / 1e3 for side in job.micrograph.specimen.shape)
    grain = recipe.silt.min_ecd_nm / 1e3
    if min(height, width) < 2 * grain:
        job.warn(
            "field too small for silt",
            f"{source}: the field of {width:.3g} x {height:.3g} µm hardly holds a grain of "
            f"{grain:.2g} µm; is {pixel_nm:g} nm per pixel right?",
        )


def _count(bands: "Iterable[npt.NDArray[np.uint8]]") -> "Counts":
    import numpy as np

    counts = np.zeros(256, np.int64)
    for phases in bands:
        counts += np.bincount(phases.ravel(), minlength=256)
    return counts


def _write(
    job: Job,
    workflow: "Workflow",
    bands: "Iterable[npt.NDArray[np.uint8]]",
    others: "Sequence[Counts]",
) -> dict[str, Any]:
    """Write the mask, its results inside; `others` are counts with varied thresholds."""
    import numpy as np

    from mudrock_cli.image.mask import create_mask

    micrograph, counts = job.micrograph, np.zeros(256, np.int64)
    with create_mask(
        job.mask, micrograph.shape, micrograph.pixel_size, job.provenance, micrograph.read
    ) as writer:
        for band in bands:
            writer.write_rows(band)
            counts += np.bincount(band.ravel(), minlength=256)
        results = _summarise(counts, others)
        results |= {
            "solid_grey": workflow.survey.solid,
            "black_grey": workflow.survey.black,
            "typical_contrast": workflow.survey.typical,
            "noise_contrast": workflow.survey.noise,
        }
        writer.provenance["results"] = results
    return results


def _summarise(counts: "Counts", others: "Sequence[Counts]") -> dict[str, Any]:
    """Return phase fractions of the specimen, and their extremes with varied thresholds."""
    from mudrock_cli.classical.recipe import share, spread
    from mudrock_cli.image.types import Phase

    phases = {"pore": Phase.PORE, "silt": Phase.SILT, "clay": Phase.CLAY}
    results: dict[str, Any] = {"specimen_px": int(counts.sum() - counts[Phase.VOID])}
    results |= {f"{name}_fraction": share(counts, phase) for name, phase in phases.items()}
    if others:
        results["band"] = {
            f"{name}_fraction": asdict(spread([*others, counts], phase))
            for name, phase in phases.items()
        }
    return results


def _save_sides(job: Job, sides: Mapping[str, str], sheet: "StepSheet | None") -> None:
    if not sides:
        return
    from mudrock_cli.image.mask import open_mask
    from mudrock_cli.report.overlay import draw_overlay_by_bands, save_overlay

    micrograph, mask = job.micrograph, open_mask(job.mask)
    if "overlay" in sides:
        picture = draw_overlay_by_bands(
            micrograph.shape, micrograph.read, mask.read, micrograph.pixel_size
        )
        save_overlay(job.beside(sides["overlay"]), picture)
    if sheet:
        sheet.save(job.beside(sides["steps"]), micrograph, mask)


def _column(name: str) -> Column:
    return Column(f"{name} %", lambda facts: f"{100 * facts[f'{name}_fraction']:.2f}")


def _extremes(name: str) -> Column:
    def text(facts: Mapping[str, Any]) -> str:
        spread = facts["band"][f"{name}_fraction"]
        return f"{100 * spread['low']:.1f}–{100 * spread['high']:.1f}"

    return Column("low–high", text)


def _columns(band: bool) -> list[Column]:
    """Return the columns of the closing table; with a band, 80 characters have no room for clay."""
    size = Column("nm/px", lambda facts: f"{facts['pixel_size_nm']:.4g}")
    if not band:
        return [size, *(_column(name) for name in ("pore", "silt", "clay"))]
    return [size, _column("pore"), _extremes("pore"), _column("silt"), _extremes("silt")]
