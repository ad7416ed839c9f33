"""Options that several commands read alike."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from mudrock_cli.errors import MudrockError, UsageError

if TYPE_CHECKING:
    from mudrock_cli.image.pixel_size import PixelSize


Scheduler = Annotated[
    str | None,
    typer.Option(help="Let the workers of this Dask scheduler do it.", metavar="tcp://HOST:PORT"),
]
"""``--scheduler``."""


def parse_save(text: str, sides: Mapping[str, str]) -> dict[str, str]:
    """Read ``--save``: names of `sides`, separated by commas; returns the chosen ones."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in sides]
    if unknown:
        raise UsageError(f"--save {text}: cannot save {unknown[0]}", f"known: {','.join(sides)}")
    return {name: sides[name] for name in names}


def parse_pixel_size(text: str | None) -> "PixelSize | None":
    """Read ``--pixel-size``; a length that cannot be read is wrong usage."""
    from mudrock_cli.image.pixel_size import PixelSize

    if text is None:
        return None
    try:
        return PixelSize.parse(text, "--pixel-size")
    except MudrockError as error:
        raise UsageError(error.message, error.hint) from error
