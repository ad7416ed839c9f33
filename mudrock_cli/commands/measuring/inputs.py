"""What `stats` takes for one mask: its name, its pixel size, its micrograph and confidence."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mudrock_cli.errors import MudrockError, UsageError

if TYPE_CHECKING:
    from mudrock_cli.image.inputs import Input
    from mudrock_cli.image.mask import PhaseMask
    from mudrock_cli.image.pixel_size import PixelSize
    from mudrock_cli.image.window import Reader

Warn = Callable[[str, str], None]
_CONFIDENCE = ".confidence.tif"


@dataclass(frozen=True)
class MaskInput:
    """A mask with all that is needed to measure it.

    Parameters
    ----------
    mask : PhaseMask
        The mask.
    pixel_size : PixelSize
        Side of its pixels.
    layers : dict of str to reader
        ``grey`` and ``confidence``, as far as they are at hand.
    micrograph : Path or None
        The micrograph, where it was found.
    """

    mask: "PhaseMask"
    pixel_size: "PixelSize"
    layers: dict[str, "Reader"]
    micrograph: Path | None


def parse_lengths(pixel_size: str | None, min_silt: str) -> tuple["PixelSize | None", float]:
    """Return the pixel size, and the least size of silt in µm, that the command line gives."""
    from mudrock_cli.image.pixel_size import PixelSize

    try:
        size = PixelSize.parse(pixel_size, "--pixel-size") if pixel_size is not None else None
        # Zero, with any unit or none, is no length of a pixel but a good limit: all silt is silt.
        nothing = min_silt.strip().rstrip("numµμ ") in ("0", "0.0")
        return size, 0.0 if nothing else PixelSize.parse(min_silt, "--min-silt").um
    except MudrockError as error:
        raise UsageError(error.message, error.hint) from error


def name_inputs(inputs: Sequence["Input"]) -> list[str]:
    """Return a name for each mask, all different: as short as that allows."""
    names = [item.relative.as_posix() for item in inputs]
    longer = [item.path.with_suffix("").as_posix() for item in inputs]
    whole = [item.path.as_posix() for item in inputs]
    for others in (longer, whole):
        count = Counter(names)
        names = [
            other if count[name] > 1 else name for name, other in zip(names, others, strict=True)
        ]
    return names


def open_input(
    item: "Input", pixel_size: "PixelSize | None", micrographs: Path | None, warn: Warn
) -> MaskInput:
    """Open a mask, and what goes with it.

    Raises
    ------
    MudrockError
        If the mask cannot be read, or its pixel size is not known.
    """
    from mudrock_cli.image.mask import open_mask

    mask = open_mask(item.path)
    layers: dict[str, Reader] = {}
    size, found = pixel_size or mask.pixel_size, None
    if micrographs is not None:
        found, size = _open_micrograph(item, micrographs, mask, size, layers, warn)
    _open_confidence(item.path, mask, layers, warn)
    if size is None:
        raise MudrockError(
            f"{item.path}: the pixel size is not known", "give it: --pixel-size 10nm"
        )
    return MaskInput(mask, size, layers, found)


def _open_micrograph(
    item: "Input",
    folder: Path,
    mask: "PhaseMask",
    size: "PixelSize | None",
    layers: dict[str, "Reader"],
    warn: Warn,
) -> tuple[Path | None, "PixelSize | None"]:
    """Find the micrograph of a mask; it may know the pixel size that the mask does not."""
    from mudrock_cli.image.inputs import IMAGE_SUFFIXES
    from mudrock_cli.image.micrograph import open_micrograph
    from mudrock_cli.image.ngff.folder import is_image

    stems = dict.fromkeys([folder / item.relative, folder / item.relative.name])
    places = (
        stem.with_name(stem.name + ending)
        for stem in stems
        for suffix in IMAGE_SUFFIXES
        for ending in (suffix, suffix.upper())
    )
    path = next((place for place in places if is_image(place)), None)
    if path is None:
        warn("no micrograph", f"{item.path}: no micrograph of its name in {folder}")
        return None, size
    micrograph = open_micrograph(path)
    if micrograph.shape != mask.shape:
        warn("micrograph of another size", f"{path}: its size is not that of {item.path}")
        return None, size
    layers["grey"] = micrograph.read
    return path, size or micrograph.pixel_size


def _open_confidence(
    path: Path, mask: "PhaseMask", layers: dict[str, "Reader"], warn: Warn
) -> None:
    """Take the confidence map beside a mask, if there is one."""
    import numpy as np

    from mudrock_cli.image.limits import MAX_MASK_PIXELS
    from mudrock_cli.image.micrograph import open_samples

    place = path.with_name(path.stem + _CONFIDENCE)
    if not place.is_file():
        return
    samples = open_samples(place, MAX_MASK_PIXELS, bombs=True)
    if samples.shape != mask.shape or samples.dtype != np.uint8:
        warn("another confidence map", f"{place}: not the confidence of {path}, left out")
        return

    def read(rows: slice, columns: slice) -> Any:
        return samples.read(rows, columns)[..., 0]

    layers["confidence"] = read


def refer(path: Path | None, report: Path) -> str | None:
    """Return a path as the report refers to it: from the report's folder, if that is possible."""
    if path is None:
        return None
    try:
        return Path(os.path.relpath(path, report.parent)).as_posix()
    except ValueError:  # another drive
        return path.absolute().as_posix()
