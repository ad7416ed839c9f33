"""Files of a training: texts that appear whole, and a model folder that is whole or absent."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mudrock_cli.deeplab.zoo import CARD, COMPILED
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.bad_input import describe
from mudrock_cli.image.placement import part_path, placing, settle


def write_text(path: Path, text: str) -> None:
    """Write a text file; where that fails, what was there before stays.

    Raises
    ------
    MudrockError
        If it cannot be written.
    """
    with placing(path, "make room there") as part:
        part.write_text(text, "utf-8")


@contextmanager
def assembling(folder: Path) -> Iterator[Path]:
    """Yield a scratch folder for all files of a model, and move them into `folder` at the end.

    A model that `folder` holds already stays as it is until the new one is complete. Its card
    goes first and the new card comes last, so that no moment shows a card beside the files of
    another model.

    Parameters
    ----------
    folder : Path
        The model folder; other files in it stay.

    Raises
    ------
    MudrockError
        If the folder cannot be written.
    """
    scratch = part_path(folder / "model")
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        yield scratch
        names = sorted((path.name for path in scratch.iterdir()), key=CARD.__eq__)
        for name in (CARD, *COMPILED):
            (folder / name).unlink(missing_ok=True)
        for name in names:
            settle(scratch / name)
            (scratch / name).replace(folder / name)
    except OSError as error:
        raise MudrockError(
            f"{folder}: cannot be written ({describe(error)})", "make room there, then --resume"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
