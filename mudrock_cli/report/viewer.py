"""The viewer of each image: its mask and micrograph found again, small enough for a page.

Labels travel as colours (red + 256 green + 65536 blue), without loss, so that the page knows
which object lies under a finger. Everything is read by bands; a mosaic takes the same road as a
snapshot.
"""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from mudrock_cli.errors import MudrockError
from mudrock_cli.files import hash_file, is_image, walk_images
from mudrock_cli.image.limits import MAX_MASK_PIXELS
from mudrock_cli.image.mask import PhaseMask, open_mask
from mudrock_cli.image.micrograph import Micrograph, open_micrograph
from mudrock_cli.image.types import Level, Phase, PixelSize
from mudrock_cli.measure.components import label_mask
from mudrock_cli.measure.instances import divide_silt
from mudrock_cli.report.tables import Row, Tables, read_provenance

_PAGE_BYTES = 2_600_000  # for the pictures of all images
_LEAST_BYTES, _MOST_BYTES = 40_000, 420_000  # for those of one
_STEPS = (
    *((1400, 70), (1200, 65), (1100, 55), (1000, 50)),
    *((850, 45), (700, 40), (512, 35), (360, 30)),
)
"""Longest side and quality of the micrograph, from the best that a page takes downwards."""
_BAND_PIXELS = 1 << 22
_WHOLE_PIXELS = 1 << 26
"""Of larger images a smaller level is looked at, where the file holds one."""
_TINTS = {
    Phase.CLAY: (138, 138, 138, 0),
    Phase.SILT: (213, 94, 0, 255),
    Phase.PORE: (0, 158, 115, 255),
    Phase.VOID: (0, 0, 0, 190),
}


@dataclass(frozen=True)
class Pictures:
    """What a viewer shows of one image, as WebP files of one size.

    Parameters
    ----------
    width, height : int
        Pixels of the pictures.
    grey : bytes or None
        The micrograph; None where it is not at hand.
    phases : bytes
        Silt and pores in colour, clay clear (grey where there is no micrograph).
    labels : bytes
        The label of each pixel as a colour, 0 = neither silt nor pore.
    below : float
        Share of the height at the bottom that shows no specimen: a data bar.
    """

    width: int
    height: int
    grey: bytes | None
    phases: bytes
    labels: bytes
    below: float = 0.0

    @property
    def size(self) -> int:
        """Bytes of all pictures."""
        return len(self.grey or b"") + len(self.phases) + len(self.labels)


def make_viewers(
    tables: Tables, micrographs: Path | None, warn: Callable[[str], None]
) -> "dict[str, Pictures | str]":
    """Make the pictures of each image, or say why there are none.

    Parameters
    ----------
    tables : Tables
        The tables; paths count from their folder.
    micrographs : Path or None
        Folder of micrographs, searched with its subfolders; before the place that the tables tell.
    warn : callable
        Is told of a micrograph that is left out because it is damaged.
    """
    budget = min(max(_PAGE_BYTES // len(tables.images), _LEAST_BYTES), _MOST_BYTES)
    found: dict[str, Pictures | str] = {}
    for row in tables.images:
        mask = find_mask(tables, row)
        if isinstance(mask, PhaseMask):
            micrograph = find_micrograph(tables, row, micrographs, warn)
            found[row["image"]] = _show(row, mask, micrograph, budget, warn)
        else:
            found[row["image"]] = mask
    return found


def _show(
    row: Row,
    mask: PhaseMask,
    micrograph: Micrograph | None,
    budget: int,
    warn: Callable[[str], None],
) -> "Pictures | str":
    """Make the pictures of an image, if need be without a micrograph whose pixels are damaged."""
    try:
        parts = None
        if row["silt_regions"] is not None:  # touching grains were divided
            size = PixelSize(row["pixel_size_nm"], row["pixel_size_source"])
            parts = divide_silt(mask, size, row["min_silt_um"])[0]
        return make_pictures(mask, micrograph, budget, parts)
    except MudrockError as error:
        if micrograph is None:
            return f"The mask cannot be read: {error}."
        warn(f"{error.message}: {row['image']} is shown without it")
        return _show(row, mask, None, budget, warn)


def find_mask(tables: Tables, row: Row) -> PhaseMask | str:
    """Find the mask of an image, or say why it cannot be shown."""
    place = tables.path.parent / (row["mask"] or "")
    if not row["mask"] or not is_image(place):
        return f"The mask {row['mask'] or ''} was not found."
    try:
        mask = open_mask(place)
        same = row["mask_sha256"] in (None, hash_file(place))
    except (MudrockError, OSError) as error:
        return f"The mask cannot be read: {error}."
    if mask.shape != (row["height_px"], row["width_px"]) or not same:
        return f"The mask {row['mask']} has changed since it was measured."
    return mask


def find_micrograph(
    tables: Tables, row: Row, folder: Path | None, warn: Callable[[str], None]
) -> Micrograph | None:
    """Find the micrograph of an image, of the shape of its mask."""
    for path in _candidates(tables, row, folder):
        try:
            micrograph = open_micrograph(path, max_pixels=MAX_MASK_PIXELS)
        except MudrockError as error:
            warn(f"{error.message}: {row['image']} is shown without it")
            continue
        if micrograph.shape == (row["height_px"], row["width_px"]):
            return micrograph
    return None


def _candidates(tables: Tables, row: Row, folder: Path | None) -> list[Path]:
    """Return where the micrograph may be, the likeliest first."""
    mask = tables.path.parent / row["mask"]
    source = read_provenance(row).get("input")
    name = Path(str(source.get("name", "")) if isinstance(source, dict) else "").name
    places = []
    if folder is not None:
        stem = Path(row["image"]).name
        found = sorted(walk_images(folder))
        places += [path for path in found if path.name == name]
        places += [path for path in found if path.stem == stem and path.name != name]
    if row["micrograph"]:
        places.append(tables.path.parent / row["micrograph"])
    if name:
        places += [folder / name for folder in (mask.parent, mask.parent.parent)]
    others = [path for path in places if is_image(path) and path.resolve() != mask.resolve()]
    return [*others, mask] if mask.is_dir() else others  # an OME-Zarr may hold the micrograph too


def make_pictures(
    mask: PhaseMask,
    micrograph: Micrograph | None,
    budget: int,
    parts: npt.NDArray[np.uint8] | None = None,
) -> Pictures:
    """Make the pictures of a viewer, as large as a number of bytes allows.

    Parameters
    ----------
    mask : PhaseMask
        The mask.
    micrograph : Micrograph or None
        The micrograph that it belongs to, of the same shape.
    budget : int
        Bytes for all three pictures; exceeded only where the smallest pictures do.
    parts : ndarray of uint8, shape (H, W), optional
        What divides touching grains, as in `label_mask`.
    """
    longest = min(_STEPS[0][0], max(mask.shape))
    phases, labels = _sample_mask(mask, longest, parts)
    grey = None if micrograph is None else _reduce_grey(micrograph, phases.shape)
    specimen = np.flatnonzero((phases != Phase.VOID).any(axis=1))
    below = 1 - (specimen[-1] + 1) / len(phases) if len(specimen) else 0.0
    pictures = None
    for side, quality in _STEPS:
        if pictures is not None and side >= longest:
            continue
        shape = _fit(phases.shape, side)
        rows, columns = _pick(phases.shape[0], shape[0]), _pick(phases.shape[1], shape[1])
        small = np.ix_(rows, columns)
        pictures = Pictures(
            width=len(columns),
            height=len(rows),
            grey=None if grey is None else _encode_grey(grey, (len(rows), len(columns)), quality),
            phases=_encode_phases(phases[small], alone=micrograph is None),
            labels=_encode_labels(labels[small]),
            below=float(below),
        )
        if pictures.size <= budget:
            break
    assert pictures is not None
    return pictures


def _sample_mask(
    mask: PhaseMask, side: int, parts: npt.NDArray[np.uint8] | None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint32]]:
    """Return phases and labels at the middle of each pixel of a picture."""
    labelling = label_mask(mask, parts=parts)
    size = _fit(mask.shape, side)
    level = _pick_level(Level(mask.shape, mask.read), mask.reduced, size)
    rows, columns = (_pick(*sides) for sides in zip(level.shape, size, strict=True))
    height, step = level.shape[0], max(1, _BAND_PIXELS // level.shape[1])
    tops = range(0, height, step)
    bands = (level.read(slice(top, min(top + step, height)), slice(None)) for top in tops)
    phases = _sample_bands(bands, rows, columns)
    # A level of a mask keeps the first of so many pixels: look at the labels of the same ones.
    factor = round(mask.shape[0] / level.shape[0])
    labels = _sample_bands(labelling.paint(mask), rows * factor, columns * factor)
    return phases, labels


def _pick_level(whole: Level, reduced: Sequence[Level], size: tuple[int, int]) -> Level:
    """Return the smallest level of a large image that holds a picture of `size`."""
    if whole.shape[0] * whole.shape[1] <= _WHOLE_PIXELS:
        return whole
    fitting = [
        level for level in reduced if level.shape[0] >= size[0] and level.shape[1] >= size[1]
    ]
    return fitting[-1] if fitting else whole


def _sample_bands(
    bands: Iterable[npt.NDArray[Any]],
    rows: npt.NDArray[np.intp],
    columns: npt.NDArray[np.intp],
) -> npt.NDArray[Any]:
    """Take some rows and columns of an image that comes in bands."""
    taken, top = [], 0
    for band in bands:
        own = rows[(rows >= top) & (rows < top + len(band))] - top
        taken.append(band[np.ix_(own, columns)])
        top += len(band)
    return np.concatenate(taken)


def _reduce_grey(micrograph: Micrograph, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Average a micrograph to about the size of a picture."""
    size = shape[0], shape[1]
    level = _pick_level(Level(micrograph.shape, micrograph.read), micrograph.reduced, size)
    height, width = level.shape
    factor = max(1, min(height // shape[0], width // shape[1]))
    step = max(1, _BAND_PIXELS // width // factor) * factor
    bands = []
    for top in range(0, height, step):
        band = level.read(slice(top, min(top + step, height)), slice(0, width))
        size = (max(1, width // factor), max(1, len(band) // factor))
        bands.append(cv2.resize(band, size, interpolation=cv2.INTER_AREA))
    return np.concatenate(bands)


def _fit(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Return the shape of a picture with no side above `side`."""
    scale = min(1.0, side / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _pick(length: int, samples: int) -> npt.NDArray[np.intp]:
    """Return the middles of `samples` equal parts of a length."""
    return ((np.arange(samples) + 0.5) * length / samples).astype(np.intp)


def _encode_grey(grey: npt.NDArray[np.uint8], shape: tuple[int, int], quality: int) -> bytes:
    picture = cv2.resize(grey, shape[::-1], interpolation=cv2.INTER_AREA)
    return _to_webp(Image.fromarray(picture).convert("RGB"), quality=quality, method=2)


def _encode_phases(phases: npt.NDArray[np.uint8], *, alone: bool) -> bytes:
    table = np.zeros((256, 4), np.uint8)
    for phase, tint in _TINTS.items():
        table[phase] = tint
    if alone:
        table[Phase.CLAY, 3] = table[Phase.VOID, 3] = 255
    return _to_webp(Image.fromarray(table[phases]), lossless=True, method=1)


def _encode_labels(labels: npt.NDArray[np.uint32]) -> bytes:
    known = np.where(labels < 1 << 24, labels, 0)  # larger ones have no colour
    colours = np.stack([known >> shift & 255 for shift in (0, 8, 16)], axis=-1)
    return _to_webp(Image.fromarray(colours.astype(np.uint8)), lossless=True, method=1)


def _to_webp(picture: Image.Image, **options: int | bool) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format="WEBP", **options)
    return stream.getvalue()
