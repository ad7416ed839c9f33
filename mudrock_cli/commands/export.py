"""``mudrock export``: masks to the files of other programs."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mudrock_cli.commands.options import (
    Masks,
    OverridePixelSize,
    PixelSizeText,
    read_pixel_sizes,
)
from mudrock_cli.errors import ExitCode, MudrockError

if TYPE_CHECKING:
    from mudrock_cli.files import Input
    from mudrock_cli.image.mask import PhaseMask
    from mudrock_cli.image.types import PixelSize
    from mudrock_cli.report.export import Labelled


def export(
    masks: Masks,
    to: Annotated[
        Literal["geojson", "coco", "imagej-roi", "csv", "labels", "ome-zarr"],
        typer.Option(
            help="For QuPath, COCO tools, ImageJ's ROI Manager; a table; label images as TIFF or "
            "OME-Zarr, of any size."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Mirrors the masks' folders.")
    ] = Path("export"),
    pixel_size: PixelSizeText = None,
    override_pixel_size: OverridePixelSize = False,
) -> None:
    """Write the grains and pores of masks for other programs.

    Outlines follow pixel sides and hold exactly the pixels of each object; labels are those of
    mudrock stats. COCO is one file for all masks, the others are a file for each.
    """
    from mudrock_cli.commands.batch import prepare_folders
    from mudrock_cli.files import atomic_write, find_collisions
    from mudrock_cli.image.mask import find_masks, find_pixel_size, open_mask
    from mudrock_cli.report.export import (
        ENDINGS,
        WRITE_HINT,
        label_objects,
        to_coco,
        write_objects,
    )

    pixel_sizes = read_pixel_sizes(pixel_size, override=override_pixel_size)
    inputs, replaced = find_masks(masks)
    pixel_sizes.check(inputs)
    for line in replaced:
        typer.echo(f"warning: {line}", err=True)
    prepare_folders(out, inputs)
    collisions = {} if to == "coco" else find_collisions(inputs)
    failures: list[MudrockError] = []

    def read(item: "Input") -> "tuple[PhaseMask, PixelSize | None]":
        item.check_name()
        if item.path in collisions:
            raise MudrockError(
                f"{item.path}: would have the same file as {collisions[item.path]}",
                "give one folder that holds both, or another --out for each",
            )
        mask = open_mask(item.path)
        size = pixel_sizes.choose(
            item, find_pixel_size(mask), lambda _, line: typer.echo(f"warning: {line}", err=True)
        )
        return mask, size

    def label_all() -> "Iterator[Labelled]":
        for item in inputs:
            with _going_on(failures):
                name = item.relative.as_posix()
                file = item.relative.with_name(item.path.name).as_posix()
                yield label_objects(*read(item), name, file)

    if to == "coco":
        text = to_coco(label_all())
        if len(failures) < len(inputs):
            with atomic_write(out / "objects.coco.json", WRITE_HINT) as part:
                part.write_text(text, encoding="utf-8")
            typer.echo(str(out / "objects.coco.json"))
    else:
        for item in inputs:
            place = out / item.relative.parent / f"{item.relative.name}{ENDINGS[to]}"
            with _going_on(failures):
                write_objects(place, to, *read(item), item.relative.as_posix())
                typer.echo(str(place))
    raise typer.Exit(ExitCode.SOME_FAILED if failures else ExitCode.DONE)


@contextlib.contextmanager
def _going_on(failures: list[MudrockError]) -> Iterator[None]:
    """Say a failure in a line, keep it, and go on with the other masks."""
    try:
        yield
    except MudrockError as error:
        failures.append(error)
        typer.echo(f"error: {error.message}", err=True)
        if error.hint:
            typer.echo(f"hint: {error.hint}", err=True)
