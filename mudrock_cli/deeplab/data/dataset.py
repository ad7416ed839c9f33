"""A folder of labelled micrographs to arrays at one pixel size, every problem told at once."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.data.pairing import pair_files
from mudrock_cli.deeplab.data.registration import register_labels
from mudrock_cli.deeplab.recipes.recipe import DataRecipe
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.checksum import hash_file
from mudrock_cli.image.enlargement import Distinct, undo_enlargement
from mudrock_cli.image.mask import open_mask
from mudrock_cli.image.micrograph import Micrograph, open_micrograph
from mudrock_cli.image.pairs import Pair
from mudrock_cli.image.phase import Phase
from mudrock_cli.image.pixel_size import PixelSize
from mudrock_cli.image.resample import resample, resample_micrograph

Grey = npt.NDArray[np.uint8]

_MOST_TOLD = 20  # problems; the rest is counted
_FACTOR = 8  # a pixel size further than this from the recipe's is a mistake
_TILE_NAME = re.compile(r"(?P<parent>.+)_\d+_[a-z]")  # parent_tile_variant, as in MudrockNet


@dataclass(frozen=True)
class Frame:
    """The image file that a sample was read from: its distinct pixels, its own pixel size."""

    distinct: Distinct
    pixel_size: PixelSize

    def restore(self, phases: Grey) -> Grey:
        """Return phases of the sample, uint8 (H, W), on the file's own pixels, VOID elsewhere."""
        seen = self.distinct.micrograph
        whole = np.full(seen.shape, Phase.VOID, np.uint8)

        def read(rows: slice, columns: slice) -> Grey:
            return phases[rows, columns]

        back = resample(read, phases.shape, seen.specimen.shape, labels=True)
        whole[seen.specimen.rows, seen.specimen.columns] = back(slice(None), slice(None))
        return self.distinct.restore(whole, slice(0, len(whole)))


@dataclass(frozen=True)
class Sample:
    """A labelled micrograph in memory, at the recipe's pixel size, without its data bar.

    Parameters
    ----------
    name : str
        Path below the folder of labels, without suffix.
    parent : str
        The micrograph it was cut from, by its name; itself where the name tells no other.
    grey, labels : ndarray of uint8, shape (H, W)
        Grey levels; phases with `Phase.VOID` where nothing is labelled.
    files : tuple of str
        SHA-256 of the image's file and of the label's.
    as_given : ndarray of uint8, shape (H, W), or None
        The labels before they were registered; None where nothing was moved.
    synthetic : bool
        A phantom: only ever trained on.
    frame : Frame or None
        Where `grey` lies in the image file; None for what was not read whole from a file.
    pixel_size : PixelSize or None
        Of `grey`, where it was not resampled and is only nearly the recipe's.
    """

    name: str
    parent: str
    grey: Grey
    labels: Grey
    files: tuple[str, str] = ("", "")
    as_given: Grey | None = None
    synthetic: bool = False
    frame: Frame | None = None
    pixel_size: PixelSize | None = None

    def micrograph(self, nm_per_pixel: float) -> Micrograph:
        """Return the grey levels as what `segment` takes."""
        size = self.pixel_size or PixelSize(nm_per_pixel, "recipe")
        return Micrograph.from_array(self.name, self.grey, size)


@dataclass(frozen=True)
class LabelledData:
    """What a folder held.

    Parameters
    ----------
    samples : tuple of Sample
        Sorted by name.
    remarks : tuple of str
        What is odd and does not stop a training, a line each.
    """

    samples: tuple[Sample, ...]
    remarks: tuple[str, ...]


def load_samples(
    data: Path, recipe: DataRecipe, pixel_size: PixelSize | None = None
) -> LabelledData:
    """Read all labelled micrographs of a folder.

    Parameters
    ----------
    data : Path
        See `pair_files`.
    recipe : DataRecipe
        Pixel size to which all are brought; whether drifting labels are moved back.
    pixel_size : PixelSize, optional
        Overrides what the files say.

    Raises
    ------
    MudrockError
        With every problem of every file, a line each: no partner, unreadable, sizes that differ,
        values that are no phases, no pixel size.
    """
    pairing = pair_files(data)
    samples, problems, remarks = [], [], []
    for pair in pairing.pairs:
        try:
            sample = _load(pair, recipe.nm_per_pixel, pixel_size)
        except MudrockError as error:
            problems.append(f"{error.message}{f' ({error.hint})' if error.hint else ''}")
            continue
        if recipe.register:
            sample, moved = _register(sample)
            remarks += moved
        samples.append(sample)
    if problems:
        raise _tell(data, problems)
    if not samples:
        raise MudrockError(f"{data}: no labelled micrograph", "labels need images of their name")
    remarks += [f"{path}: has no label and is not used" for path in pairing.unlabelled]
    return LabelledData(tuple(samples), (*remarks, *_find_absent(samples)))


def name_parent(name: str) -> str:
    """Return the micrograph that a file was cut from: ``11`` of the tile ``11_4_b``.

    Any other name is its own parent; copies that a name hides are found by content.
    """
    match = _TILE_NAME.fullmatch(name)
    return match["parent"] if match else name


def _load(pair: Pair, nm_per_pixel: float, pixel_size: PixelSize | None) -> Sample:
    if pair.image is None:
        raise MudrockError(f"{pair.label}: no image of this name or content")
    micrograph = open_micrograph(pair.image, pixel_size=pixel_size)
    mask = open_mask(pair.label)
    if mask.shape != micrograph.shape:
        shapes = (f"{height} × {width}" for height, width in (mask.shape, micrograph.shape))
        raise MudrockError("{}: {} pixels, its image {}".format(pair.label, *shapes))
    size = micrograph.pixel_size
    if size is None:
        raise MudrockError(f"{pair.image}: no pixel size in the file", "give --pixel-size 10nm")
    if not 1 / _FACTOR <= size.nm / nm_per_pixel <= _FACTOR:
        raise MudrockError(
            f"{pair.image}: {size.nm:g} nm per pixel, the recipe is for {nm_per_pixel:g} nm",
            "--set data.nm_per_pixel=, or --pixel-size where the file is wrong",
        )
    distinct = undo_enlargement(micrograph)
    seen = distinct.micrograph
    scaled = resample_micrograph(seen, nm_per_pixel)
    box = scaled.specimen
    if box.height < 2 or box.width < 2:
        raise MudrockError(f"{pair.image}: too small for training")
    known = distinct.choose(mask.read)
    labels = resample(known, seen.shape, scaled.shape, labels=True)(box.rows, box.columns)
    if (labels == Phase.VOID).all():
        raise MudrockError(f"{pair.label}: no pixel of the specimen is labelled")
    return Sample(
        name=pair.name,
        parent=name_parent(pair.name),
        grey=np.ascontiguousarray(scaled.read(box.rows, box.columns)),
        labels=np.ascontiguousarray(labels),
        files=(hash_file(pair.image), hash_file(pair.label)),
        frame=Frame(distinct, size),
        pixel_size=scaled.pixel_size,
    )


def _register(sample: Sample) -> tuple[Sample, list[str]]:
    labels, drift = register_labels(sample.grey, sample.labels)
    if drift is None:
        return sample, []
    remark = (
        f"{sample.name}: labels lay up to {drift.reach(labels.shape):.0f} pixels off the "
        f"micrograph and were moved back (correlation of pores with dark pixels "
        f"{drift.before:.2f}, now {drift.after:.2f})"
    )
    return replace(sample, labels=labels, as_given=sample.labels), [remark]


def _tell(data: Path, problems: Sequence[str]) -> MudrockError:
    told = [f"  {problem}" for problem in problems[:_MOST_TOLD]]
    if len(problems) > _MOST_TOLD:
        told.append(f"  and {len(problems) - _MOST_TOLD} more")
    noun = "problem" if len(problems) == 1 else "problems"
    return MudrockError("\n".join([f"{data}: {len(problems)} {noun}", *told]))


def _find_absent(samples: Sequence[Sample]) -> list[str]:
    """Tell the phases that no label shows; a single one teaches nothing."""
    counts = np.zeros(256, np.int64)
    for sample in samples:
        counts += np.bincount(sample.labels.ravel(), minlength=256)
    phases = (Phase.CLAY, Phase.SILT, Phase.PORE)
    present = [phase.name.lower() for phase in phases if counts[phase]]
    if len(present) == 1:
        raise MudrockError(
            f"the labels show {present[0]} alone: there is nothing to tell apart",
            "labels hold 0 clay, 1 silt, 2 pore, 255 where nothing is labelled",
        )
    return [
        f"no label shows {phase.name.lower()}: the network will not learn it"
        for phase in phases
        if not counts[phase]
    ]
