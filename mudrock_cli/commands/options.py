"""Options that several commands share, and how their texts are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mudrock_cli.errors import MudrockError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mudrock_cli.files import Input
    from mudrock_cli.image.types import Box, PixelSize

RARE = "Rarely needed"
"""The panel of ``--help`` below the usual options."""

LENGTH = "LENGTH|CSV"

Images = Annotated[
    list[str],
    typer.Argument(metavar="INPUT", help="Images, folders (with subfolders) or globs."),
]
Masks = Annotated[
    list[str],
    typer.Argument(metavar="MASK", help="Masks, folders (with subfolders) or globs."),
]
MaskFolder = Annotated[
    Path,
    typer.Option(
        "--out", "-o", help="Folder of the masks, mirrors the inputs' folders; or NAME.zarr."
    ),
]
PixelSizeText = Annotated[
    str | None,
    typer.Option(
        "--pixel-size",
        metavar=LENGTH,
        help="For files that tell none: 10nm, 0.01um; or a CSV of name,pixel_size_nm.",
    ),
]
OverridePixelSize = Annotated[
    bool,
    typer.Option(
        "--override-pixel-size",
        help="Take --pixel-size for files that tell another one, too.",
        rich_help_panel=RARE,
    ),
]
Crop = Annotated[
    str | None,
    typer.Option(
        metavar="X,Y,W,H",
        help="Only this box of pixels is specimen; outside, masks are 255.",
        rich_help_panel=RARE,
    ),
]
Exclude = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Images of the inputs' names: what is not black in them becomes 255.",
        rich_help_panel=RARE,
    ),
]
Outlines = Annotated[
    Literal["labels", "exact"],
    typer.Option(
        help="labels: inside the visible ones, as published labels draw them; exact: to measure."
    ),
]
EngineName = Literal["auto", "openvino", "keras"]
Force = Annotated[bool, typer.Option("--force", help="Make finished masks again.")]
JsonPerImage = Annotated[bool, typer.Option("--json", help="A JSON line per image on stdout.")]
MaxPixels = Annotated[
    int,
    typer.Option(min=1, help="Refuse images with more pixels than this.", rich_help_panel=RARE),
]
Values = Annotated[
    str | None,
    typer.Option(
        help="What labels hold, if not 0 clay, 1 silt, 2 pore: 0=clay+silt,255=pore.",
        metavar="VALUE=PHASE",
        rich_help_panel=RARE,
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        help="Let the workers of this Dask scheduler do it.",
        metavar="tcp://HOST:PORT",
        rich_help_panel=RARE,
    ),
]

_FAR = 3.0
"""Two pixel sizes of one file that differ by more than this contradict each other."""


@dataclass(frozen=True)
class PixelSizes:
    """The pixel sizes that a command line gives.

    Parameters
    ----------
    size : PixelSize or None
        Of all files.
    table : mapping of str to PixelSize
        Of single files, by path below the folder of inputs or by name, without suffix.
    override : bool
        They replace what files tell; otherwise they fill in what is missing.
    """

    size: "PixelSize | None" = None
    table: Mapping[str, "PixelSize"] = field(default_factory=dict)
    override: bool = False

    def choose(
        self,
        item: "Input",
        told: "PixelSize | None",
        warn: "Callable[[str, str], None]" = lambda kind, message: None,
    ) -> "PixelSize | None":
        """Return the pixel size of a file that tells `told`, and warn where two disagree."""
        name = item.relative.as_posix()
        given = self.size or self.table.get(name) or self.table.get(item.relative.name)
        if given is None or told is None:
            return told or given
        ratio = max(given.nm / told.nm, told.nm / given.nm)
        if self.override or ratio < 1.01:
            return given if self.override else told
        far = ratio > _FAR
        warn(
            "own pixel size kept, far from the one given" if far else "own pixel size kept",
            f"{item.path}: its own pixel size of {told.nm:.4g} nm ({told.source}) is kept, not "
            f"{given.nm:.4g} nm{f', {ratio:.3g} times apart' if far else ''}; where the file is "
            "wrong, give --override-pixel-size",
        )
        return told

    def check(self, inputs: "Sequence[Input]") -> None:
        """Make sure that a table of single files is about some of the inputs.

        Raises
        ------
        UsageError
            If it names none of them.
        """
        known = {name for item in inputs for name in (item.relative.as_posix(), item.relative.name)}
        if self.table and inputs and not known & set(self.table):
            first = next(iter(self.table))
            raise UsageError(
                f"--pixel-size: none of the names in {self.table[first].source}, such as {first}, "
                "is one of an input",
                f"names are those of the files, such as {inputs[0].relative.as_posix()}",
            )


def read_pixel_sizes(text: str | None, *, override: bool = False) -> PixelSizes:
    """Read ``--pixel-size``: a length for all files, or a CSV with a row per file.

    Raises
    ------
    UsageError
        If the length or the table cannot be read.
    """
    if text is None:
        if override:
            raise UsageError("--override-pixel-size: no --pixel-size to take", "give one")
        return PixelSizes()
    if not text.lower().endswith(".csv"):
        return PixelSizes(parse_length(text, "--pixel-size"), override=override)
    return PixelSizes(table=_read_table(Path(text)), override=override)


def parse_length(text: str, option: str) -> "PixelSize":
    """Read a length from the command line; one that cannot be read is wrong usage."""
    from mudrock_cli.image.types import PixelSize

    try:
        return PixelSize.parse(text, option)
    except MudrockError as error:
        raise UsageError(error.message, error.hint) from error


def parse_crop(text: str | None) -> "Box | None":
    """Read ``--crop``; a box that cannot be read is wrong usage."""
    from mudrock_cli.image.types import Box

    try:
        return None if text is None else Box.parse(text)
    except MudrockError as error:
        raise UsageError(f"--crop: {error.message}", error.hint) from error


def parse_save(text: str, sides: Mapping[str, str]) -> dict[str, str]:
    """Read ``--save``: names of `sides`, separated by commas; returns the chosen ones."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in sides]
    if unknown:
        raise UsageError(f"--save {text}: cannot save {unknown[0]}", f"known: {','.join(sides)}")
    return {name: sides[name] for name in names}


def check_folder(folder: Path | None, option: str) -> None:
    """Make sure that a folder to read from is there."""
    if folder is not None and not folder.is_dir():
        raise UsageError(f"{option} {folder}: no folder", "give the folder that holds them")


def _read_table(path: Path) -> "dict[str, PixelSize]":
    from mudrock_cli.config import read_rows
    from mudrock_cli.files import IMAGE_SUFFIXES
    from mudrock_cli.image.types import PixelSize

    expected = "write a header and a row per file: name,pixel_size_nm"
    found: dict[str, PixelSize] = {}
    try:
        for number, row in enumerate(read_rows(path, expected), 2):
            name, text = (row.get(key) or "" for key in ("name", "pixel_size_nm"))
            known = Path(name).suffix.lower() in IMAGE_SUFFIXES
            name = Path(name).with_suffix("").as_posix() if known else name.strip()
            if not name or name in found:
                reason = f"names {name[:60]} again" if name else "has no name"
                raise MudrockError(f"{path}: line {number} {reason}", expected)
            try:
                found[name] = PixelSize(float(text), path.name)
            except (ValueError, MudrockError) as error:
                reason = f"line {number}: {text[:60]!r} is no pixel size in nm"
                raise MudrockError(f"{path}: {reason}", expected) from error
    except MudrockError as error:
        raise UsageError(error.message, error.hint) from error
    if not found:
        raise UsageError(f"{path}: no pixel sizes in it", expected)
    return found
