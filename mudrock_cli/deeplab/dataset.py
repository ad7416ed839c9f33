"""A folder of labelled micrographs as arrays at one pixel size; every problem is told at once."""

import hashlib
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.config import read_text
from mudrock_cli.deeplab.recipe import DataRecipe
from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.files import Pair, find_inputs, find_pairs, hash_file, is_mudrock_mask
from mudrock_cli.image.grey import normalise_grey
from mudrock_cli.image.labels import ValueTable, find_partial, list_allowed, open_label
from mudrock_cli.image.mask import (
    PhaseMask,
    find_masks,
    find_origin,
    holds_its_results,
    open_mask,
    reads_as_mask,
)
from mudrock_cli.image.micrograph import Micrograph, open_micrograph
from mudrock_cli.image.resample import Deduplicated, deduplicate, resample, resample_micrograph
from mudrock_cli.image.types import Phase, PixelSize

Grey = npt.NDArray[np.uint8]

_MOST_SHOWN = 20  # problems; the rest is counted
_SAME_SIZE = 0.01  # pixel sizes closer than this are one
_FACTOR = 8  # a pixel size further than this from the recipe's is a mistake
_FEWEST_LABELS = 500  # pixels: five strokes, 9 pixels wide and 12 long
_TILE_NAME = re.compile(r"(?P<source>.+)_\d+_[a-z]")  # source_tile_variant, as in MudrockNet
_CORNER_NAME = re.compile(r"(?P<source>.+)_tile_x(?P<left>\d+)_y(?P<top>\d+)")  # see name_tile

PROPOSED = "proposed"
"""In the provenance of a mask that is a model's, made to be corrected: what `hash_phases` told."""


@dataclass(frozen=True)
class Frame:
    """The image file that a sample was read from: its distinct pixels, its own pixel size."""

    deduplicated: Deduplicated
    pixel_size: PixelSize

    def restore(self, phases: Grey) -> Grey:
        """Return phases of the sample, uint8 (H, W), on the file's own pixels, VOID elsewhere."""
        seen = self.deduplicated.micrograph
        whole = np.full(seen.shape, Phase.VOID, np.uint8)

        def read(rows: slice, columns: slice) -> Grey:
            return phases[rows, columns]

        back = resample(read, phases.shape, seen.specimen.shape, labels=True)
        whole[seen.specimen.rows, seen.specimen.columns] = back(slice(None), slice(None))
        return self.deduplicated.restore(whole, slice(0, len(whole)))


@dataclass(frozen=True)
class Sample:
    """A labelled micrograph in memory, at the recipe's pixel size, without its data bar.

    Parameters
    ----------
    name : str
        Path below the folder of labels, without suffix.
    source : str
        The micrograph it was cut from, by its name; itself where the name tells no other.
    grey, labels : ndarray of uint8, shape (H, W)
        Grey levels; phases with `Phase.VOID` where nothing is labelled, or what `encode_set` calls
        one of two phases.
    files : tuple of str
        SHA-256 of the image's file and of the label's.
    as_given : ndarray of uint8, shape (H, W), or None
        The labels before they were registered; None where nothing was moved.
    frame : Frame or None
        Where `grey` lies in the image file; None for what was not read whole from a file.
    pixel_size : PixelSize or None
        Of `grey`, where it was not resampled and is only nearly the recipe's.
    """

    name: str
    source: str
    grey: Grey
    labels: Grey
    files: tuple[str, str] = ("", "")
    as_given: Grey | None = None
    frame: Frame | None = None
    pixel_size: PixelSize | None = None

    @property
    def is_partial(self) -> bool:
        """Whether labels leave open, somewhere, which of two phases it is."""
        return bool(find_partial(self.labels).any())

    def micrograph(self, nm_per_pixel: float) -> Micrograph:
        """Return the grey levels as what `segment` takes."""
        size = self.pixel_size or PixelSize(nm_per_pixel, "recipe")
        return Micrograph.from_array(self.name, self.grey, size)


def normalise_samples(samples: Sequence[Sample], recipe: DataRecipe) -> list[Sample]:
    """Return samples as a network is shown them: their grey float32 if the recipe normalises."""
    if not recipe.normalise:
        return list(samples)
    shown = []
    for sample in samples:
        micrograph = sample.micrograph(recipe.nm_per_pixel)
        read = normalise_grey(micrograph.read_specimen(), micrograph.shape)
        shown.append(replace(sample, grey=read(slice(None), slice(None))))
    return shown


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
    data: Path,
    recipe: DataRecipe,
    pixel_size: PixelSize | None = None,
    micrographs: Path | None = None,
    values: ValueTable | None = None,
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
    micrographs : Path, optional
        See `pair_files`.
    values : ndarray of uint8, shape (256,), optional
        What the values of labels mean, see `parse_values`.

    Raises
    ------
    MudrockError
        With every problem of every file, a line each: no partner, or one that has changed,
        unreadable, sizes that differ, values that are no phases, no pixel size, or two. Or if all
        labels together are too few to learn from.
    """
    pairing = pair_files(data, micrographs, values)
    samples, overridden, remarks = [], list[str](), list(pairing.remarks)
    problems = [_on_one_line(error) for error in pairing.problems]
    uncorrected = list[str]()
    for pair in pairing.pairs:
        try:
            if values is None and is_uncorrected(pair.label):
                uncorrected.append(pair.name)
                continue
            sample, told = _load(pair, recipe.nm_per_pixel, pixel_size, values)
        except MudrockError as error:
            problems.append(_on_one_line(error))
            continue
        if pixel_size and told and abs(pixel_size.nm / told.nm - 1) > _SAME_SIZE:
            overridden.append(f"{pair.name} ({told.nm:g} nm)")
        if recipe.register:
            sample, moved = _register(sample)
            remarks += moved
        samples.append(sample)
    if problems:
        raise _list_problems(data, problems)
    if pixel_size and overridden:
        more = f" and {len(overridden) - 4} more" if len(overridden) > 4 else ""
        remarks.append(
            f"{pixel_size.source} {pixel_size.nm:g} nm is taken in place of the pixel size of "
            f"{', '.join(overridden[:4])}{more}"
        )
    if uncorrected:
        more = f" and {len(uncorrected) - 4} more" if len(uncorrected) > 4 else ""
        remarks.append(
            f"{', '.join(uncorrected[:4])}{more}: the mask still is the model's, and is not used; "
            "where it is right, put a PNG in its place"
        )
    if not samples and uncorrected:
        raise MudrockError(
            f"{data}: no mask was corrected since mudrock wrote it",
            "correct some; where one is right as it is, put a PNG in its place",
        )
    if not samples:
        raise MudrockError(f"{data}: no labelled micrograph", "labels need images of their name")
    labelled = sum(int((sample.labels != Phase.VOID).sum()) for sample in samples)
    if labelled < _FEWEST_LABELS:
        raise MudrockError(
            f"{data}: {labelled} labelled pixels of {recipe.nm_per_pixel:g} nm in all are too few "
            "to learn from",
            f"paint {_FEWEST_LABELS} or more, in every phase that is there",
        )
    remarks += [f"{path}: has no label and is not used" for path in pairing.unlabelled]
    return LabelledData(tuple(samples), (*remarks, *_find_absent(samples)))


def name_source(name: str) -> str:
    """Return the micrograph that a file was cut from: ``11`` of the tile ``11_4_b``.

    So it is for a tile of a tile, and for those that `name_tile` names. Any other name is its own
    source; copies that a name hides are found by content.
    """
    match = _CORNER_NAME.fullmatch(name) or _TILE_NAME.fullmatch(name)
    return name_source(match["source"]) if match else name


def name_tile(source: str, left: int, top: int) -> str:
    """Return the name of the tile of a micrograph whose corner is at a pixel."""
    return f"{source}_tile_x{left}_y{top}"


def read_tile_name(name: str) -> tuple[str, int, int] | None:
    """Return micrograph, left and top of a name that `name_tile` made, else None."""
    match = _CORNER_NAME.fullmatch(name)
    return (match["source"], int(match["left"]), int(match["top"])) if match else None


def hash_phases(phases: Grey) -> str:
    """Return the SHA-256 of the phases of a mask, uint8, shape (H, W)."""
    return hashlib.sha256(f"{phases.shape}".encode() + phases.tobytes()).hexdigest()


def is_uncorrected(label: Path) -> bool:
    """Tell whether a mask of `segment`, or one proposed for correcting, is as a model made it.

    Learning from it would teach a model its own mistakes. Not every program that saves a TIFF takes
    the description away, so the phases themselves are looked at.
    """
    if not is_mudrock_mask(label):
        return False
    mask = open_mask(label)
    told = mask.provenance.get(PROPOSED)
    if told is None and mask.provenance.get("method") == "segment":
        return "results" in mask.provenance and holds_its_results(mask)
    return isinstance(told, dict) and told.get("phases") == hash_phases(mask.phases())


def _load(
    pair: Pair, nm_per_pixel: float, pixel_size: PixelSize | None, values: ValueTable | None
) -> tuple[Sample, PixelSize | None]:
    """Read a sample, and the pixel size that its file tells."""
    if pair.image is None:
        raise MudrockError(f"{pair.label}: no image of this name or content")
    micrograph = open_micrograph(pair.image)
    told = micrograph.pixel_size
    mask = open_label(pair.label, values)
    of_mask = mask.pixel_size
    if of_mask is None and (origin := find_origin(mask)):
        of_mask = origin.pixel_size
    if not pixel_size and told and of_mask and abs(of_mask.nm / told.nm - 1) > _SAME_SIZE:
        raise MudrockError(
            f"{pair.label}: {of_mask.nm:g} nm per pixel, its image {told.nm:g} nm",
            "--pixel-size LENGTH says what holds for all files",
        )
    micrograph = replace(micrograph, pixel_size=pixel_size or told or of_mask)
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
    deduplicated = deduplicate(micrograph)
    seen = deduplicated.micrograph
    scaled = resample_micrograph(seen, nm_per_pixel)
    box = scaled.specimen
    if box.height < 2 or box.width < 2:
        raise MudrockError(f"{pair.image}: too small for training")
    known = deduplicated.choose(mask.read)
    labels = resample(known, seen.shape, scaled.shape, labels=True)(box.rows, box.columns)
    if (labels == Phase.VOID).all():
        raise MudrockError(f"{pair.label}: no pixel of the specimen is labelled")
    sample = Sample(
        name=pair.name,
        source=name_source(pair.name),
        grey=np.ascontiguousarray(scaled.read(box.rows, box.columns)),
        labels=np.ascontiguousarray(labels),
        files=(hash_file(pair.image), hash_file(pair.label)),
        frame=Frame(deduplicated, size),
        pixel_size=scaled.pixel_size,
    )
    return sample, told


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


def _on_one_line(error: MudrockError) -> str:
    return f"{error.message}{f' ({error.hint})' if error.hint else ''}"


def _list_problems(data: Path, problems: Sequence[str]) -> MudrockError:
    lines = [f"  {problem}" for problem in problems[:_MOST_SHOWN]]
    if len(problems) > _MOST_SHOWN:
        lines.append(f"  and {len(problems) - _MOST_SHOWN} more")
    noun = "problem" if len(problems) == 1 else "problems"
    return MudrockError("\n".join([f"{data}: {len(problems)} {noun}", *lines]))


def _find_absent(samples: Sequence[Sample]) -> list[str]:
    """Tell the phases that no label shows; a single one teaches nothing."""
    counts = np.zeros(256, np.int64)
    for sample in samples:
        counts += np.bincount(sample.labels.ravel(), minlength=256)
    phases = (Phase.CLAY, Phase.SILT, Phase.PORE)
    told = np.flatnonzero(counts[: Phase.VOID])
    allowed = list_allowed()[told]
    if len(told) == 1:
        shown = " or ".join(phase.name.lower() for phase in phases if allowed[0, phase])
        raise MudrockError(
            f"the labels show {shown} alone: there is nothing to tell apart",
            "labels hold 0 clay, 1 silt, 2 pore, 255 where nothing is labelled; of others tells "
            "--values 0=clay+silt,255=pore",
        )
    return [
        f"no label shows {phase.name.lower()}: nothing is learned of it"
        for phase in phases
        if not allowed[:, phase].any()
    ]


# Which label belongs to which micrograph, in every layout that training takes.

_LABEL_FOLDERS = ("labels", "SegmentationClassRaw", "SegmentationClass")


@dataclass(frozen=True)
class Pairing:
    """Pairs of a folder, and what stands alone there.

    Parameters
    ----------
    pairs : tuple of Pair
        Every label, sorted by name; its image is None where that is missing.
    unlabelled : tuple of Path
        Micrographs without a label.
    problems : tuple of MudrockError
        Masks whose micrograph is not found.
    remarks : tuple of str
        Masks that a corrected one replaces.
    """

    pairs: tuple[Pair, ...]
    unlabelled: tuple[Path, ...]
    problems: tuple[MudrockError, ...] = ()
    remarks: tuple[str, ...] = ()


def pair_files(
    data: Path, micrographs: Path | None = None, values: ValueTable | None = None
) -> Pairing:
    """Pair labels and micrographs of a folder.

    Parameters
    ----------
    data : Path
        ``images/`` and ``labels/``; the PASCAL VOC layout, where ``ImageSets/*.txt`` say which
        names count; or masks, by mudrock or corrected and saved by another program, of micrographs
        anywhere beside or below them.
    micrographs : Path, optional
        Folder where micrographs of masks are looked for, too.
    values : ndarray of uint8, shape (256,), optional
        What the values of masks mean, where they are not ours.

    Raises
    ------
    UsageError
        If it is no folder, or holds no label.
    """
    if any((data / folder).is_dir() for folder in _LABEL_FOLDERS):
        pairs = find_pairs(data)
        listed = read_image_sets(data)
        if listed:
            named = {name for names in listed.values() for name in names}
            pairs = [pair for pair in pairs if pair.name in named]
        images = [folder for folder in ("images", "JPEGImages") if (data / folder).is_dir()]
        return Pairing(tuple(pairs), _unlabelled(data / images[0], pairs) if images else ())
    if not data.is_dir():
        raise UsageError(f"{data}: no such folder", "give a folder with images/ and labels/")
    return _pair_masks(data, micrographs, values)


def read_image_sets(data: Path) -> dict[str, list[str]]:
    """Return the names in each ``ImageSets/*.txt`` of the PASCAL VOC layout, by list.

    Raises
    ------
    MudrockError
        If a list cannot be read as text.
    """
    found = {}
    for path in sorted((data / "ImageSets").glob("**/*.txt")):
        lines = read_text(path).splitlines()
        found[path.stem] = [line.split()[0] for line in lines if line.strip()]
    return found


def _unlabelled(images: Path, pairs: list[Pair]) -> tuple[Path, ...]:
    used = {pair.image for pair in pairs}
    try:
        found = find_inputs([str(images)])
    except UsageError:
        return ()
    return tuple(item.path for item in found if item.path not in used)


def _pair_masks(data: Path, micrographs: Path | None, values: ValueTable | None) -> Pairing:
    """Pair masks with their micrographs: by the hash that they carry, else by name."""
    found, remarks = find_masks([str(data)])
    masks = [item.path for item in found if reads_as_mask(item.path, values)]
    if not masks:
        raise UsageError(
            f"{data}: no labels in it", "give a folder with images/ and labels/, one file each"
        )
    folders = [data, micrographs] if micrographs else [data]
    known, beside = _Micrographs(folders, masks), _Micrographs([data], masks)
    pairs, problems = [], []
    for path in masks:
        name = path.relative_to(data).with_suffix("").as_posix()
        try:
            pairs.append(Pair(name, path, known.find(open_mask(path, values=values), name)))
        except MudrockError as error:
            problems.append(error)
    pairs.sort(key=lambda pair: pair.name)
    used = {pair.image for pair in pairs}
    unlabelled = tuple(path for path in beside.paths if path not in used)
    return Pairing(tuple(pairs), unlabelled, tuple(problems), tuple(remarks))


class _Micrographs:
    """The micrographs below some folders."""

    def __init__(self, folders: Sequence[Path], masks: Sequence[Path]) -> None:
        found: dict[Path, str] = {}
        for folder in folders:
            with suppress(UsageError):  # nothing in it
                found |= {i.path: i.relative.as_posix() for i in find_inputs([str(folder)])}
        self._names = {path: name for path, name in found.items() if path not in set(masks)}
        self.paths = tuple(self._names)
        self._hashes: dict[Path, str] = {}

    def find(self, mask: PhaseMask, name: str) -> Path:
        """Return the micrograph of a mask from a file, called `name` below its folder.

        Raises
        ------
        MudrockError
            If there is none, more than one, or it is no longer what the mask was made of.
        """
        label = mask.path
        assert label is not None
        if not mask.provenance:
            mask = find_origin(mask) or mask
        made_from = mask.provenance.get("input")
        told = made_from.get("sha256") if isinstance(made_from, dict) else None
        named = [path for path in self.paths if path.stem == label.stem]
        if isinstance(told, str):
            others = [path for path in self.paths if path not in named]
            for path in (*named, *others):
                if self._hash(path) == told:
                    return path
            if named:
                raise MudrockError(
                    f"{named[0]}: has changed since {label} was made of it (SHA-256 differs)",
                    "--micrographs FOLDER with the file as it was; or segment it again and correct",
                )
        same = [path for path in named if self._names[path] == name]
        if len(named) == 1 or len(same) == 1:
            return (same or named)[0]
        if named:
            shown = " and ".join(str(path) for path in named[:2])
            raise MudrockError(f"{label}: {shown} have its name", "keep one of them there")
        raise MudrockError(
            f"{label}: no image of this name or content", "--micrographs FOLDER that holds it"
        )

    def _hash(self, path: Path) -> str:
        if path not in self._hashes:
            self._hashes[path] = hash_file(path)
        return self._hashes[path]


# Labels that drift away from their micrograph, found by matching pores to dark pixels.
#
# A mask that passed through a program which resized it by a hair lies ever further off its
# micrograph towards one edge. Ten pixels are enough to teach a network that pores lie beside the
# dark.

_BLOCK = 192  # pixels: wide enough to hold several pores
_REACH = 16  # pixels that a block may have drifted
_FEWEST_BLOCKS = 12
_LEAST_DRIFT = 2.0  # pixels at the worst edge: less is within an outline's uncertainty
_LEAST_GAIN = 1.1  # of the correlation between pores and dark pixels


@dataclass(frozen=True)
class Drift:
    """A linear displacement of labels against their micrograph.

    Parameters
    ----------
    rows, columns : tuple of float
        Offset in pixels and slope in pixels per pixel: what the micrograph shows at row *y* is
        labelled at row ``y + offset + slope * y``.
    before, after : float
        Correlation of the pore labels with local darkness, as they came and registered.
    """

    rows: tuple[float, float]
    columns: tuple[float, float]
    before: float
    after: float

    def reach(self, shape: tuple[int, int]) -> float:
        """Return the largest displacement in pixels within `shape`."""
        pairs = zip((self.rows, self.columns), shape, strict=True)
        return max(abs(o + s * end) for (o, s), n in pairs for end in (0, n - 1))


def register_labels(grey: Grey, labels: Grey) -> tuple[Grey, Drift | None]:
    """Move labels back onto their micrograph where they clearly drift.

    Parameters
    ----------
    grey, labels : ndarray of uint8, shape (H, W)
        Grey levels, and phases of which pores are dark.

    Returns
    -------
    labels : ndarray of uint8, shape (H, W)
        By nearest neighbour; ``VOID`` where a label would come from outside. The very input where
        nothing was moved.
    drift : Drift or None
        What was undone; None where the labels lie within two pixels, where moving them would not
        raise their correlation with darkness by a tenth, or where too few pores tell.
    """
    darkness = _local_darkness(grey)
    pores = (labels == Phase.PORE).astype(np.float32)
    positions, shifts = _match_blocks(darkness, pores)
    if len(positions) < _FEWEST_BLOCKS:
        return labels, None
    rows, columns = (_fit_line(positions[:, axis], shifts[:, axis]) for axis in (0, 1))
    drift = Drift(rows, columns, 0.0, 0.0)
    if drift.reach(grey.shape) < _LEAST_DRIFT:
        return labels, None
    moved = _undo(labels, drift)
    before = _correlate(darkness, labels)
    after = _correlate(darkness, moved)
    if after < _LEAST_GAIN * max(before, 0.05):
        return labels, None
    return moved, Drift(rows, columns, before, after)


def _local_darkness(grey: Grey) -> npt.NDArray[np.float32]:
    """How much darker a pixel is than its surroundings: fields differ in brightness."""
    level = grey.astype(np.float32)
    around = cv2.blur(level, (81, 81), borderType=cv2.BORDER_REFLECT)
    return np.asarray(around - level, np.float32)


def _match_blocks(
    darkness: npt.NDArray[np.float32], pores: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return centres (N, 2) of blocks and by how much their labels must move (N, 2)."""
    positions, shifts = [], []
    for top in range(_REACH, darkness.shape[0] - _BLOCK - _REACH + 1, _BLOCK // 2):
        for left in range(_REACH, darkness.shape[1] - _BLOCK - _REACH + 1, _BLOCK // 2):
            block = pores[top : top + _BLOCK, left : left + _BLOCK]
            if not 0.02 < block.mean() < 0.5:
                continue
            around = darkness[
                top - _REACH : top + _BLOCK + _REACH, left - _REACH : left + _BLOCK + _REACH
            ]
            match = cv2.matchTemplate(around, block, cv2.TM_CCOEFF_NORMED)
            _, best, _, (x, y) = cv2.minMaxLoc(match)
            if best > 0.3:
                # The block shows at y - _REACH from where it lies: labels lie off by the opposite.
                positions.append((top + _BLOCK / 2, left + _BLOCK / 2))
                shifts.append((_REACH - y, _REACH - x))
    return np.array(positions, float).reshape(-1, 2), np.array(shifts, float).reshape(-1, 2)


def _fit_line(
    position: npt.NDArray[np.float64], shift: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """Fit a line that half of the matches being wrong cannot tilt (Siegel 1982)."""
    from scipy.stats import siegelslopes

    if np.ptp(position) == 0:
        return float(np.median(shift)), 0.0
    fit = siegelslopes(shift, position)
    return float(fit.intercept), float(fit.slope)


def _undo(labels: Grey, drift: Drift) -> Grey:
    moved = np.full_like(labels, Phase.VOID)
    sources = []
    for (offset, slope), length in zip((drift.rows, drift.columns), labels.shape, strict=True):
        place = np.arange(length)
        sources.append(np.rint(place + offset + slope * place).astype(int))
    inside = [(s >= 0) & (s < n) for s, n in zip(sources, labels.shape, strict=True)]
    picked = labels[np.ix_(sources[0][inside[0]], sources[1][inside[1]])]
    moved[np.ix_(*inside)] = picked
    return moved


def _correlate(darkness: npt.NDArray[np.float32], labels: Grey) -> float:
    known = labels != Phase.VOID
    return float(np.corrcoef(darkness[known], labels[known] == Phase.PORE)[0, 1])
