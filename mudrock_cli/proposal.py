"""What to label next: the pieces of micrographs from which a model would learn most.

Every micrograph is segmented and covered with tiles that overlap by half. A tile counts by how
unsure the mask is there. A label teaches about all that looks like it, so tiles are chosen one by
one, each for the uncertainty in places like it that no tile chosen before (or labelled already) is
like: ten tiles of the same thing are never proposed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.dataset import PROPOSED, hash_phases, name_tile, read_tile_name
from mudrock_cli.deeplab.engine import Engine
from mudrock_cli.deeplab.model import TrainedModel
from mudrock_cli.deeplab.training_range import (
    ENTROPY,
    describe_appearance,
    measure_excess,
    read_training_range,
)
from mudrock_cli.errors import MudrockError
from mudrock_cli.files import hash_file, walk_images
from mudrock_cli.image.mask import PhaseMask, write_mask
from mudrock_cli.image.micrograph import Micrograph, open_micrograph
from mudrock_cli.image.tiff import write_plane
from mudrock_cli.image.types import Box, Phase
from mudrock_cli.segmentation import segment_mask

_TEXTURE = ("fine_texture", "coarse_texture", "grey_skew")
_MOST = 4000  # tiles that are compared with each other
_LEAST = 1e-6  # uncertainty of a tile of which a model is sure
IMAGES, LABELS = "images", "labels"
"""Folders of the crops and of their masks, as training takes them."""


@dataclass(frozen=True)
class Tile:
    """A piece of a micrograph that could be labelled.

    Parameters
    ----------
    box : Box
        Where it lies, in pixels of the file.
    uncertainty : float
        Mean of 1 less the probability of the phase in the mask: the share of pixels that the model
        expects to get wrong.
    pore_fraction, silt_fraction : float
        In the mask.
    texture : tuple of float
        Figures of `describe_appearance`; nan where one cannot be measured.
    labelled : bool
        It was proposed before, and need not be again.
    """

    box: Box
    uncertainty: float
    pore_fraction: float
    silt_fraction: float
    texture: tuple[float, ...]
    labelled: bool = False

    def features(self) -> tuple[float, ...]:
        """Return what makes two tiles alike."""
        return (*self.texture, self.pore_fraction, self.silt_fraction)


@dataclass(frozen=True)
class Covered:
    """A micrograph covered with tiles.

    Parameters
    ----------
    name : str
        Path below the folder of inputs, without suffix.
    micrograph : Micrograph
        With a pixel size.
    mask : PhaseMask
        What the model makes of it, with its provenance.
    tiles : tuple of Tile
        All that hold nothing but specimen, from top to bottom.
    distance : float
        From the training range of the model: 0 inside, 1 where it is as far outside as the range
        is wide.
    """

    name: str
    micrograph: Micrograph
    mask: PhaseMask
    tiles: tuple[Tile, ...]
    distance: float = 0.0

    @property
    def uncertainty(self) -> float:
        """Mean of the tiles."""
        return float(np.mean([tile.uncertainty for tile in self.tiles])) if self.tiles else 0.0


@dataclass(frozen=True)
class Proposal:
    """A tile to label.

    Parameters
    ----------
    source : Covered
        Its micrograph.
    tile : Tile
        The tile.
    covers : float
        Share of all uncertainty in places like this tile, one proposed before it, or a labelled
        one.
    """

    source: Covered
    tile: Tile
    covers: float

    @property
    def name(self) -> str:
        """Return the path of its files below their folders, without suffix."""
        return name_tile(self.source.name, self.tile.box.left, self.tile.box.top)


def cover(
    name: str,
    micrograph: Micrograph,
    model: TrainedModel,
    side: int,
    mask: Path,
    labelled: Sequence[Box] = (),
    start_engine: Callable[[], Engine] | None = None,
    **options: Any,
) -> Covered:
    """Segment a micrograph and measure tiles of it.

    Parameters
    ----------
    name : str
        See `Covered`.
    micrograph : Micrograph
        Opened.
    model : TrainedModel
        Loaded.
    side : int
        Of a tile, in pixels of the file; a specimen that is narrower makes narrower tiles.
    mask : Path
        File to which the mask is written; its folder exists.
    labelled : sequence of Box
        Tiles that were proposed before.
    start_engine, options
        See `segment_mask`.

    Raises
    ------
    MudrockError
        If the micrograph has no pixel size or cannot be segmented, see `segment_mask`.
    """
    if micrograph.pixel_size is None:
        place = micrograph.path or micrograph.name
        raise MudrockError(f"{place}: no pixel size in the file", "give --pixel-size 10nm")
    with TemporaryFile(dir=mask.parent) as spool:
        made = segment_mask(micrograph, model, start_engine, out=mask, confidence=spool, **options)
        boxes = dict.fromkeys(lay_tiles(micrograph.specimen, side), False)
        boxes |= dict.fromkeys((b for b in labelled if b.intersect(micrograph.specimen) == b), True)
        tiles = tuple(_measure(micrograph, made, spool, boxes, model.nm_per_pixel))
    results = made.provenance["results"]
    figures = {**results.get("appearance", {}), ENTROPY: results["mean_entropy"]}
    distance = measure_excess(read_training_range(model), figures)
    return Covered(name, micrograph, made, tiles, distance)


def lay_tiles(specimen: Box, side: int) -> list[Box]:
    """Cover a specimen with tiles that overlap by half, the last ones at its edges by more."""
    height, width = min(side, specimen.height), min(side, specimen.width)

    def spread(start: int, stop: int, length: int) -> list[int]:
        return [*range(start, stop - length, max(1, length // 2)), stop - length]

    return [
        Box(top, left, top + height, left + width)
        for top in spread(specimen.top, specimen.bottom, height)
        for left in spread(specimen.left, specimen.right, width)
    ]


def _measure(
    micrograph: Micrograph,
    mask: PhaseMask,
    confidence: IO[bytes],
    boxes: Mapping[Box, bool],
    nm_per_pixel: float,
) -> Iterator[Tile]:
    """Measure tiles; those in the same rows are read at once."""
    width = micrograph.shape[1]
    rows: dict[tuple[int, int], list[Box]] = {}
    for box in boxes:
        rows.setdefault((box.top, box.bottom), []).append(box)
    for (top, bottom), beside in sorted(rows.items()):
        grey = micrograph.read(slice(top, bottom), slice(None))
        phases = mask.read(slice(top, bottom), slice(None))
        confidence.seek(top * width)
        sure = np.frombuffer(confidence.read((bottom - top) * width), np.uint8)
        sure = sure.reshape(bottom - top, width)
        for box in beside:
            seen = phases[:, box.columns]
            if (seen == Phase.VOID).any():
                continue
            piece = Micrograph.from_array("", grey[:, box.columns], micrograph.pixel_size)
            figures = describe_appearance(piece, nm_per_pixel)
            texture = (figures[name] for name in _TEXTURE)
            yield Tile(
                box=box,
                uncertainty=1 - float(sure[:, box.columns].mean()) / 255,
                pore_fraction=float((seen == Phase.PORE).mean()),
                silt_fraction=float((seen == Phase.SILT).mean()),
                texture=tuple(np.nan if value is None else value for value in texture),
                labelled=boxes[box],
            )


def propose_tiles(covered: Sequence[Covered], count: int) -> list[Proposal]:
    """Choose the tiles whose labels would teach a model most, the best first.

    Parameters
    ----------
    covered : sequence of Covered
        The micrographs.
    count : int
        How many; there are fewer where more would overlap.

    Notes
    -----
    With the uncertainty u (up to doubled outside the training range, where the model's own
    confidence says little) and the likeness s = exp(-d²), where d² is the mean square of the
    differences of features over their standard deviation, the next tile is the i with the largest
    ``u[i] * sum_j u[j] * max(0, s[i, j] - max_chosen s[chosen, j])``: Settles and Craven's
    information density (2008, EMNLP: 1070-1079) with the greedy cover of Yang et al.'s suggestive
    annotation (2017, MICCAI: 399-407). The uncertainty is least confidence (Lewis and Gale 1994,
    SIGIR: 3-12) of the mask, in which network and classical prior are combined: where they
    contradict each other, it is low.
    """
    pairs = [(source, tile) for source in covered for tile in source.tiles]
    if not pairs:
        return []
    weight = np.array(
        [max(tile.uncertainty, _LEAST) * (1 + min(far.distance, 1)) for far, tile in pairs]
    )
    labelled = np.array([tile.labelled for _, tile in pairs], bool)
    features = _standardise([tile.features() for _, tile in pairs])
    seen = np.unique(np.linspace(0, len(pairs) - 1, min(len(pairs), _MOST)).astype(int))
    likely = [int(i) for i in np.argsort(-weight, kind="stable") if not labelled[i]][:_MOST]
    alike = _compare(features[likely], features[seen])
    best = _compare(features[seen], features[labelled]).max(axis=1, initial=0)
    wanted, total = weight[seen], weight[seen].sum()
    old = [pair for pair in pairs if pair[1].labelled]
    free = np.array([not any(_overlap(pairs[i], other) for other in old) for i in likely], bool)
    chosen: list[Proposal] = []
    while free.any() and len(chosen) < count:
        gain = weight[likely] * (np.maximum(alike - best, 0) @ wanted)
        index = int(np.where(free, gain, -1).argmax())
        best = np.maximum(best, alike[index])
        source, tile = pairs[likely[index]]
        chosen.append(Proposal(source, tile, float(best @ wanted / total)))
        free &= [not _overlap(pairs[i], (source, tile)) for i in likely]
    return chosen


def _standardise(rows: Sequence[Sequence[float]]) -> npt.NDArray[np.float32]:
    """Return features (tiles, features) with mean 0 and deviation 1; 0 for what is not known."""
    table = np.array(rows, np.float64).reshape(len(rows), -1)
    known = np.isfinite(table)
    number = np.maximum(known.sum(axis=0), 1)
    table = np.where(known, table - np.where(known, table, 0).sum(axis=0) / number, 0)
    deviation = np.sqrt((table**2).sum(axis=0) / number)
    return np.asarray(table / np.where(deviation > 0, deviation, 1), np.float32)


def _compare(
    some: npt.NDArray[np.float32], others: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return how alike tiles are, from 0 to 1, shape (some, others)."""
    from scipy.spatial.distance import cdist

    squares = cdist(some, others, "sqeuclidean") / max(1, some.shape[1])
    return np.asarray(np.exp(-squares), np.float32)


def _overlap(one: tuple[Covered, Tile], other: tuple[Covered, Tile]) -> bool:
    shared = one[1].box.intersect(other[1].box)
    return one[0].name == other[0].name and bool(shared.height and shared.width)


# The folder in which tiles are corrected, and from which they are learnt.


def find_labelled(folder: Path, side: int) -> dict[str, list[Box]]:
    """Return the tiles that a folder holds already, by the name of their micrograph.

    Parameters
    ----------
    folder : Path
        See `write_proposal`; it may be missing.
    side : int
        Taken for the side of a tile whose crop is not there any more.
    """
    found: dict[str, list[Box]] = {}
    labels = folder / LABELS
    for path in walk_images(labels) if labels.is_dir() else ():
        name = path.relative_to(labels).with_suffix("").as_posix()
        if place := read_tile_name(name):
            source, left, top = place
            crop = folder / IMAGES / f"{name}.tif"
            height, width = open_micrograph(crop).shape if crop.is_file() else (side, side)
            box = Box(top, left, top + height, left + width)
            if box not in found.setdefault(source, []):
                found[source].append(box)
    return found


def write_proposal(folder: Path, proposal: Proposal) -> tuple[Path, Path]:
    """Write a tile for correcting: its crop, and what the model makes of it.

    Parameters
    ----------
    folder : Path
        Gets ``images/NAME.tif``, 8-bit grey as the model sees it, and ``labels/NAME.tif``, the
        mask. NAME tells the micrograph and the corner, so that no split divides a micrograph.
        Training leaves the mask out until it was corrected.

    Returns
    -------
    image, label : Path
        The two files.
    """
    source, box = proposal.source, proposal.tile.box
    image, label = (folder / part / f"{proposal.name}.tif" for part in (IMAGES, LABELS))
    for path in (image, label):
        path.parent.mkdir(parents=True, exist_ok=True)
    size = source.micrograph.pixel_size
    grey = source.micrograph.read(box.rows, box.columns)
    write_plane(image, box.shape, np.uint8, [grey], size)
    phases = source.mask.read(box.rows, box.columns)
    told: dict[str, Any] = {**source.mask.provenance}
    told["input"] = {"name": image.stem, "sha256": hash_file(image)}
    told[PROPOSED] = {
        "micrograph": source.mask.provenance.get("input"),
        "left": box.left,
        "top": box.top,
        "phases": hash_phases(phases),
    }
    del told["results"]  # of the whole micrograph
    write_mask(label, PhaseMask.from_array(label.stem, phases, size, told))
    return image, label
