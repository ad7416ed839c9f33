"""Choose what to believe of everything that a file and its sidecars tell."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mudrock_cli.image.calibration import parse_imagej, parse_ome
from mudrock_cli.image.facts import Facts
from mudrock_cli.image.pixel_size import PixelSize
from mudrock_cli.image.samples import Samples
from mudrock_cli.image.sidecars import read_sidecars
from mudrock_cli.image.vendor_tags import read_comment, read_vendor_tags

_DESCRIPTION = 270
_SQUARE = 0.01
"""Width and height of a pixel may differ by this share."""
_AGREEMENT = 0.01


class _Scale(NamedTuple):
    """How much an image was enlarged after the microscope wrote it, or why that is unknown."""

    factor: float | None
    reason: str = ""


@dataclass(frozen=True)
class Calibration:
    """What is believed of a file.

    Parameters
    ----------
    pixel_size : PixelSize or None
        Size of a pixel.
    note : str
        Why a pixel size that is told is not believed, or what else to know of it.
    instrument : dict of str
        Vendor, model, detector and so on.
    facts : tuple of Facts
        Everything told, best first.
    """

    pixel_size: PixelSize | None
    note: str
    instrument: dict[str, str]
    facts: tuple[Facts, ...]


def calibrate(samples: Samples) -> Calibration:
    """Find the pixel size of a file and what it tells of the instrument.

    The vendor's tag is believed before the vendor's sidecar, then OME-XML, ImageJ, OME-Zarr. A bare
    resolution tag is nearly always print resolution and is never believed.

    Parameters
    ----------
    samples : Samples
        An open file.
    """
    facts = read_facts(samples.path, samples)
    instrument: dict[str, str] = {}
    for told in facts:
        instrument = {**told.instrument, **instrument}
    believed = [(told, *_believe(told, samples.shape)) for told in facts]
    refused = [told.pixel for told, size, _ in believed if told.pixel and size is None]
    notes = [note for *_, note in believed if note]
    # Two copies of one number: when one is refused, because it knows of which frame it speaks,
    # the other is refused with it.
    sizes = [size for told, size, _ in believed if size is not None and told.pixel not in refused]
    for other in sizes[1:]:
        if abs(other.nm / sizes[0].nm - 1) > _AGREEMENT:
            notes.append(f"{other.source} tells {other.nm:g} nm, not {sizes[0].nm:g} nm")
    return Calibration(sizes[0] if sizes else None, "; ".join(notes), instrument, tuple(facts))


def read_facts(path: Path, samples: Samples) -> list[Facts]:
    """Return everything that a file and the files beside it tell, best first."""
    description = samples.tags.get(_DESCRIPTION, b"")
    conventions = (parse_ome(description), parse_imagej(description, samples.resolution))
    return [
        *read_vendor_tags(samples.tags),
        *read_sidecars(path),
        *read_comment(samples.tags),
        *(told for told in conventions if told is not None),
        *samples.facts,
    ]


def _believe(told: Facts, shape: tuple[int, int]) -> tuple[PixelSize | None, str]:
    """Return the pixel size that a source tells for an image of `shape`, or why it is none."""
    if told.pixel is None:
        return None, ""
    width, height = told.pixel
    if abs(width / height - 1) > _SQUARE:
        return None, f"{told.source}: pixels of {width:g} x {height:g} nm are not square"
    scale = _scale(told, shape)
    if scale.factor is None:
        return None, f"{told.source}: {scale.reason}"
    if scale.factor == 1:
        return PixelSize(width, told.source), ""
    return PixelSize(width / scale.factor, f"{told.source}, image scaled by {scale.factor:.4g}"), ""


def _scale(told: Facts, shape: tuple[int, int]) -> _Scale:
    """Compare the image with the frame that the source describes.

    An image as wide as the frame is as the microscope wrote it, with its bar or without. One of
    another width was rescaled or cropped: only when the whole frame with its bar was scaled by
    one factor, which a crop would hit by rare chance, is the new pixel size certain.
    """
    if told.frame is None or told.frame[1] == shape[1]:
        return _Scale(1.0)
    factor = shape[1] / told.frame[1]
    if told.bar_rows:
        expected = (told.frame[0] + told.bar_rows) * factor
        if abs(expected - shape[0]) <= 1:
            return _Scale(factor)
    rows, columns = told.frame
    return _Scale(
        None,
        f"describes {columns} x {rows} pixels, the image has {shape[1]} x {shape[0]}; "
        "it was cropped or rescaled",
    )
