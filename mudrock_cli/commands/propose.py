"""``mudrock propose``: what to label next, as tiles ready for correcting."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mudrock_cli.commands.options import (
    Crop,
    Exclude,
    Images,
    MaxPixels,
    OverridePixelSize,
    PixelSizes,
    PixelSizeText,
    parse_crop,
    read_pixel_sizes,
)
from mudrock_cli.errors import ExitCode, MudrockError, UsageError
from mudrock_cli.image.limits import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from mudrock_cli.commands.batch import Hooks
    from mudrock_cli.deeplab.engine import Engine
    from mudrock_cli.deeplab.model import TrainedModel
    from mudrock_cli.files import Input
    from mudrock_cli.image.types import Box
    from mudrock_cli.proposal import Covered, Proposal


def propose(
    inputs: Images,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder that gets images/ and labels/.")],
    tiles: Annotated[int, typer.Option(min=1, help="How many tiles.")] = 6,
    size: Annotated[int, typer.Option(min=64, help="Side of a tile in pixels.")] = 512,
    model: Annotated[
        str | None,
        typer.Option(help="The model that shall learn; see mudrock models.", metavar="NAME"),
    ] = None,
    pixel_size: PixelSizeText = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON line per image on stdout, with its tiles.")
    ] = False,
    override_pixel_size: OverridePixelSize = False,
    crop: Crop = None,
    exclude: Exclude = None,
    max_pixels: MaxPixels = MAX_PIXELS,
) -> None:
    """Propose what to label next, as tiles ready for correcting.

    Segments the micrographs, ranks them by how unsure the model is, and chooses tiles from which it
    would learn most: unsure, like much of what else it is unsure of, and unlike each other. Writes
    a crop images/NAME.tif and the mask labels/NAME.tif of each. Correct the masks; mudrock train
    takes the folder, without masks that still are the model's. Run it again on the same folder
    for more tiles: those that it holds are not proposed again.
    """
    from mudrock_cli.commands.batch import run_all
    from mudrock_cli.commands.console import Console, print_table
    from mudrock_cli.commands.masks import check_exclusions
    from mudrock_cli.deeplab.model import DEFAULT_MODEL, load_model
    from mudrock_cli.files import check_writable, find_collisions
    from mudrock_cli.proposal import find_labelled, propose_tiles, write_proposal
    from mudrock_cli.segmentation import choose_engine, share_engine

    sizes = read_pixel_sizes(pixel_size, override=override_pixel_size)
    box = parse_crop(crop)
    found = _find_micrographs(inputs, out)
    sizes.check(found)
    check_exclusions(exclude, found)
    trained = load_model(model or DEFAULT_MODEL)
    check_writable(out)
    known = find_labelled(out, size)
    reference, engine = str(trained.path.absolute()), choose_engine(trained)
    start_engine = partial(share_engine, reference, trained.digest, engine)
    covered: list[Covered] = []
    lines: dict[str, dict[str, Any]] = {}
    with (
        Console("images", len(found), json_lines=as_json) as console,
        tempfile.TemporaryDirectory(prefix=".proposing-", dir=out) as folder,
    ):
        work = partial(
            _cover_one,
            collisions=find_collisions(found),
            model=trained,
            start_engine=start_engine,
            sizes=sizes,
            side=size,
            known=known,
            folder=Path(folder),
            crop=box,
            exclude=exclude,
            max_pixels=max_pixels,
        )
        for done in run_all(found, work, console):
            console.count()
            line: dict[str, Any] = {"input": str(done.item.path)}
            lines[str(done.item.path)] = line
            if done.error is not None:
                console.print_error(done.error)
                line |= {"error": done.error.message, "hint": done.error.hint}
            elif done.result is not None:
                covered.append(done.result)
                line |= _describe_micrograph(done.result)
                line["warnings"] = [message for _, message in done.warnings]
        proposals = propose_tiles(covered, tiles)
        for order, proposal in enumerate(proposals, 1):
            written = write_proposal(out, proposal)
            line = lines[str(proposal.source.micrograph.path)]
            line["tiles"].append(_describe_tile(order, proposal, *written))
    console.end()
    ranked = sorted(lines.values(), key=lambda line: -line.get("uncertainty", -1.0))
    if as_json:
        for line in ranked:
            console.print_json(line)
    elif covered:
        print_table(_tabulate_micrographs([line for line in ranked if "error" not in line]), "")
        if proposals:
            print_table(_tabulate_tiles(proposals))
        for text in _close(proposals, tiles, out, model or DEFAULT_MODEL):
            typer.echo(text)
    raise typer.Exit(ExitCode.DONE if len(covered) == len(found) else ExitCode.SOME_FAILED)


def _find_micrographs(inputs: Sequence[str], out: Path) -> "list[Input]":
    """Find the inputs without the tiles of earlier runs."""
    from mudrock_cli.deeplab.dataset import read_tile_name
    from mudrock_cli.files import find_inputs

    below = out.resolve()
    found = [
        item
        for item in find_inputs(inputs)
        if read_tile_name(item.path.stem) is None or below not in item.path.resolve().parents
    ]
    if not found:
        raise UsageError(
            f"{', '.join(inputs)}: nothing but proposed tiles of {out}", "give the micrographs"
        )
    return found


def _cover_one(
    item: "Input",
    hooks: "Hooks",
    *,
    collisions: Mapping[Path, Path],
    model: "TrainedModel",
    start_engine: "Callable[[], Engine]",
    sizes: PixelSizes,
    side: int,
    known: "Mapping[str, list[Box]]",
    folder: Path,
    crop: "Box | None",
    exclude: Path | None,
    max_pixels: int,
) -> "Covered":
    """Segment a micrograph and cover it with tiles."""
    from mudrock_cli.commands.masks import describe_run, leave_out
    from mudrock_cli.files import hash_file
    from mudrock_cli.image.micrograph import open_micrograph
    from mudrock_cli.proposal import cover
    from mudrock_cli.segmentation import describe_model_used

    if other := collisions.get(item.path):
        raise MudrockError(
            f"{item.path}: its tiles would have the names of those of {other}",
            "give the folder that holds both",
        )
    micrograph = open_micrograph(item.path, max_pixels=max_pixels)
    for warning in micrograph.warnings:
        hooks.warn(warning, f"{item.path}: {warning}")
    size = sizes.choose(item, micrograph.pixel_size, hooks.warn)
    micrograph = replace(micrograph, pixel_size=size)
    micrograph, left_out = leave_out(micrograph, item, crop, exclude)
    name = item.relative.as_posix()
    mask = folder / f"{name}.tif"
    mask.parent.mkdir(parents=True, exist_ok=True)
    used = {**describe_model_used(model), "outlines": "labels"}
    if left_out:
        used["options"] = left_out
    return cover(
        name,
        micrograph,
        model,
        side,
        mask,
        known.get(name, ()),
        start_engine,
        provenance=describe_run(micrograph, hash_file(item.path), used),
        advance=hooks.advance,
        warn=hooks.warn,
    )


def _describe_micrograph(covered: "Covered") -> dict[str, Any]:
    results = covered.mask.provenance["results"]
    return {
        "uncertainty": round(covered.uncertainty, 4),
        "pore_fraction": results["pore_fraction"],
        "silt_fraction": results["silt_fraction"],
        "mean_entropy": results["mean_entropy"],
        "outside_domain": results.get("outside_domain", []),
        "distance_from_domain": round(covered.distance, 3),
        "tiles_labelled": sum(tile.labelled for tile in covered.tiles),
        "tiles": [],
    }


def _describe_tile(order: int, proposal: "Proposal", image: Path, label: Path) -> dict[str, Any]:
    tile = proposal.tile
    return {
        "order": order,
        "image": str(image),
        "label": str(label),
        "x": tile.box.left,
        "y": tile.box.top,
        "width": tile.box.width,
        "height": tile.box.height,
        "uncertainty": round(tile.uncertainty, 4),
        "pore_fraction": tile.pore_fraction,
        "silt_fraction": tile.silt_fraction,
        "covers": round(proposal.covers, 4),
    }


def _tabulate_micrographs(ranked: Sequence[Mapping[str, Any]]) -> "Table":
    from mudrock_cli.commands.console import lay_table

    headings = ["unsure %", "pore %", "silt %", "range", "before", "new"]
    rows = [
        [
            *_percent(row["uncertainty"], row["pore_fraction"], row["silt_fraction"]),
            "outside" if row["outside_domain"] else "inside",
            str(row["tiles_labelled"] or "–"),
            str(len(row["tiles"]) or "–"),
        ]
        for row in ranked
    ]
    return lay_table("image", headings, [Path(row["input"]).name for row in ranked], rows)


def _tabulate_tiles(proposals: "Sequence[Proposal]") -> "Table":
    from mudrock_cli.commands.console import lay_table

    headings = ["unsure %", "pore %", "silt %", "covers %"]
    rows = [
        _percent(tile.uncertainty, tile.pore_fraction, tile.silt_fraction, proposal.covers)
        for proposal in proposals
        for tile in [proposal.tile]
    ]
    return lay_table("tile", headings, [Path(each.name).name for each in proposals], rows)


def _percent(*shares: float) -> list[str]:
    return [f"{100 * share:.1f}" for share in shares]


def _close(proposals: "Sequence[Proposal]", wanted: int, out: Path, model: str) -> list[str]:
    """Return the lines below the tables."""
    unsure = (
        "unsure: mean of 1 less the probability of the phase in the mask; range: of what the model "
        "was trained on; before, new: tiles"
    )
    if not proposals:
        reason = "each meets what is left out, or one from before; give a smaller --size"
        return [unsure, f"no tile: {reason}"]
    noun = "tile" if len(proposals) == 1 else "tiles"
    fewer = "" if len(proposals) == wanted else "; more would overlap"
    return [
        unsure,
        "covers: share of all uncertainty in places like the tiles down to this one",
        f"{len(proposals)} {noun} in {out}{fewer}; correct and save the masks in {out / 'labels'}, "
        f"then mudrock train {out} --init {model} --out MODEL",
    ]
