"""A micrograph and a model to a phase mask: the one pipeline that everything else calls.

Rows and columns that only repeat others are left out; the specimen is brought to the model's pixel
size and covered with overlapping tiles; the probabilities that the network (or forest) gives are
blended, brought back to the specimen's pixels and combined with the classical prior; each pixel
gets its most probable phase. All of it goes by bands of whole rows, so memory grows with the width
of a micrograph and not with its height, and the bands of a mosaic may be done by other processes.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from mudrock_cli.classical.outlines import Outlines, exact_outlines
from mudrock_cli.classical.recipe import load_recipe as load_workflow
from mudrock_cli.classical.workflow import candidate_phases, frame_phases
from mudrock_cli.deeplab import engine as networks
from mudrock_cli.deeplab.engine import Engine, EngineName, Probabilities
from mudrock_cli.deeplab.model import TrainedModel, load_model
from mudrock_cli.deeplab.recipe import Recipe
from mudrock_cli.deeplab.training_range import (
    DISTANCE,
    ENTROPY,
    RANGE,
    FeatureDistribution,
    describe_outside,
    encode_appearance,
    find_outside,
    measure_appearance,
    read_training_range,
)
from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.image.grey import normalise_grey
from mudrock_cli.image.mask import PhaseMask, create_mask, open_mask
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.resample import (
    Deduplicated,
    axis_taps,
    deduplicate,
    resample,
    scale_factor,
    scaled_shape,
)
from mudrock_cli.image.tiles import Packed, Rows, TilePlan, blend_tiles, plan_tiles
from mudrock_cli.image.types import Map, Phase, PixelSize

Phases = npt.NDArray[np.uint8]
Advance = Callable[[int, int], None]
Warn = Callable[[str, str], None]


def _ignore(*_: Any) -> None:
    """Do nothing; the progress and the warnings of somebody who wants none."""


@dataclass(frozen=True)
class SegmentedBand:
    """Whole rows of a segmented micrograph.

    Parameters
    ----------
    rows : slice
        Rows of the micrograph.
    phases : ndarray of uint8, shape (rows, columns)
        Values of `Phase`, ``VOID`` outside the specimen.
    confidence : ndarray of uint8, shape (rows, columns)
        Probability of the phase, calibrated, 255 for 1; 0 outside the specimen.
    entropy : float
        Sum over the specimen's pixels of -sum(p ln p) / ln 3 of the network alone: 0 where it is
        certain, 1 where it knows nothing.
    """

    rows: slice
    phases: Phases
    confidence: npt.NDArray[np.uint8]
    entropy: float

    @classmethod
    def void(cls, rows: slice, width: int) -> "SegmentedBand":
        """Return rows without specimen."""
        shape = (rows.stop - rows.start, width)
        return cls(rows, np.full(shape, Phase.VOID, np.uint8), np.zeros(shape, np.uint8), 0.0)


_SAME = 0.01  # pixel sizes closer than this are one
_REACH = 3.0  # times the model's range: farther off, it cannot see what it was trained for
LEAST_GREYS = 4.0
"""Grey levels between the darkest and the brightest hundredth: with less, a picture is flat."""


def segment_mask(
    micrograph: Micrograph,
    model: TrainedModel,
    start_engine: Callable[[], Engine] | None = None,
    *,
    outlines: Outlines = "labels",
    out: Path | None = None,
    provenance: Mapping[str, Any] | None = None,
    confidence: IO[bytes] | None = None,
    advance: Advance = _ignore,
    warn: Warn = _ignore,
    mapper: Map = map,
    parts: int = 1,
) -> PhaseMask:
    """Segment a micrograph.

    Parameters
    ----------
    micrograph : Micrograph
        Opened; a mosaic is read through windows.
    model : TrainedModel
        Loaded.
    start_engine, advance, mapper, parts
        See `segment_bands`; by default what suits this machine.
    outlines : str
        ``labels``: where the labels that the model learnt from draw them; ``exact``: moved outwards
        to where they are visible, see `exact_outlines`. A micrograph without a pixel size is taken
        to have the model's.
    out : Path, optional
        File or OME-Zarr to which the mask is written; its folder exists. By default the mask is
        held in memory.
    provenance : mapping, optional
        What the mask tells of itself; ``results`` are added: the phases' fractions of the specimen,
        the network's mean entropy, the resample factor, and how the micrograph lies to the model's
        training range; with exact outlines, ``as_labels`` has the fractions before they were moved.
    confidence : binary file, optional
        Gets the confidence of all pixels, a byte each (see `SegmentedBand`).
    warn : callable
        ``warn(kind, message)`` is told what to look at before the mask is trusted.

    Raises
    ------
    MudrockError
        If the micrograph cannot be read, is of one grey or nearly, or has pixels so large or small
        that the model cannot see what it was trained for; if the mask cannot be written.
    """
    given = deduplicate(micrograph)
    seen = given.micrograph
    source = str(micrograph.path or micrograph.name)
    factor = resample_factor(seen, model.nm_per_pixel)
    known = read_training_range(model)
    # Out of reach it is looked at as it is: what is flat has no other fault to be told of.
    looked_at = seen if is_in_reach(model, factor) else replace(seen, pixel_size=None)
    appearance = measure_appearance(looked_at, model.nm_per_pixel)
    if appearance.grey_range() < LEAST_GREYS:
        raise MudrockError(
            f"{source}: every pixel has the same grey, or nearly", "check how it was exported"
        )
    check_scale(micrograph, model, factor, warn)
    described = dict(provenance or describe_model_used(model) | {"outlines": outlines})
    tally = _Tally(micrograph, given, confidence)
    bands = tally.add_up(
        segment_bands(
            seen,
            model.recipe,
            start_engine or partial(open_engine, model),
            temperature=model.temperature,
            confidence_temperature=model.confidence_temperature,
            advance=_share(advance, 0, 1 - _OUTLINES_SHARE) if outlines == "exact" else advance,
            mapper=mapper,
            parts=parts,
            confidence=confidence is not None,
        )
    )
    drawn: Iterator[Phases] = (given.restore(band.phases, band.rows) for band in bands)
    if outlines == "exact":
        tell = _share(advance, 1 - _OUTLINES_SHARE, 1)
        drawn = _move_outlines(given, bands, model.nm_per_pixel, mapper, tell)
    finished = tally.count(drawn)

    def describe() -> dict[str, Any]:
        results = tally.summarise(outlines)
        results |= {"resample_factor": factor, "model_judged": bool(model.card.get("judged"))}
        entropy = results["mean_entropy"]
        figures = appearance.figures()
        if DISTANCE in known:
            windows = encode_appearance(seen, model.nm_per_pixel)
            distribution = FeatureDistribution.read(model.path / RANGE)
            figures[DISTANCE] = distribution.measure_distance(windows) if len(windows) else None
        return results | _compare_with_training(figures, model, known, entropy, source, warn)

    if out is None:
        phases = np.concatenate(list(finished))
        described["results"] = describe()
        return PhaseMask.from_array(micrograph.name, phases, micrograph.pixel_size, described)
    with create_mask(
        out, micrograph.shape, micrograph.pixel_size, described, micrograph.read
    ) as writer:
        for rows in finished:
            writer.write_rows(rows)
        writer.provenance["results"] = describe()
    return open_mask(out)


def _move_outlines(
    given: Deduplicated,
    bands: Iterator[SegmentedBand],
    model_nm: float,
    mapper: Map,
    advance: Advance,
) -> Iterator[Phases]:
    """Yield whole rows of the file with exact outlines, from the bands of what was seen of it."""
    seen = given.micrograph
    box, size = seen.specimen, seen.pixel_size or PixelSize(model_nm, "that of the model")
    inner = (
        band.phases[:, box.columns] for band in bands if box.top <= band.rows.start < box.bottom
    )
    moved = exact_outlines(inner, replace(seen, pixel_size=size), mapper, advance)
    return frame_phases(given, moved)


class _Tally:
    """Counts what goes by on its way to a mask.

    Parameters
    ----------
    micrograph : Micrograph
        As it is in the file; tells what is left out.
    given : Deduplicated
        The same without repeated rows and columns.
    confidence : binary file, optional
        Gets the confidence of all pixels.
    """

    def __init__(
        self, micrograph: Micrograph, given: Deduplicated, confidence: IO[bytes] | None
    ) -> None:
        self._micrograph, self._given, self._confidence = micrograph, given, confidence
        self._counts = np.zeros(256, np.int64)  # of the mask
        self._before = np.zeros(256, np.int64)  # of the mask before outlines were moved
        self._entropy, self._seen = 0.0, 0

    def add_up(self, bands: Iterable[SegmentedBand]) -> Iterator[SegmentedBand]:
        """Yield bands of the deduplicated micrograph, whose entropy and confidence are kept."""
        for band in bands:
            whole = _restore(band, self._given)
            phases = self._micrograph.leave_out(whole.rows, whole.phases)
            self._before += np.bincount(phases.ravel(), minlength=256)
            self._entropy += whole.entropy
            self._seen += int((whole.phases != Phase.VOID).sum())
            if self._confidence:
                sure = np.where(phases == Phase.VOID, np.uint8(0), whole.confidence)
                self._confidence.write(sure.tobytes())
            yield band

    def count(self, drawn: Iterable[Phases]) -> Iterator[Phases]:
        """Yield whole rows of the file without what is left out, counted."""
        done = 0
        for rows in drawn:
            phases = self._micrograph.leave_out(slice(done, done + len(rows)), rows)
            done += len(rows)
            self._counts += np.bincount(phases.ravel(), minlength=256)
            yield phases

    def summarise(self, outlines: Outlines) -> dict[str, Any]:
        """Return the results of the mask: fractions of the specimen, and the mean entropy."""
        kept = float(self._counts.sum() - self._counts[Phase.VOID]) / max(self._seen, 1)
        results = summarise(self._counts, self._entropy * kept)
        if outlines == "exact":
            before = summarise(self._before, 0.0)
            results["as_labels"] = {n: v for n, v in before.items() if n.endswith("_fraction")}
        return results


def describe_model_used(model: TrainedModel) -> dict[str, Any]:
    """Return what a mask tells of the model that made it."""
    return {"method": "segment", "model": model.describe()}


def summarise(counts: npt.NDArray[np.int64], entropy: float) -> dict[str, Any]:
    """Return phase fractions of the specimen, and the network's entropy averaged over it.

    Parameters
    ----------
    counts : ndarray of int, shape (256,)
        Pixels of each value of the mask.
    entropy : float
        Sum over the specimen's pixels, see `SegmentedBand`.
    """
    specimen = int(counts.sum() - counts[Phase.VOID])
    total = max(specimen, 1)
    return {
        "specimen_px": specimen,
        "pore_fraction": int(counts[Phase.PORE]) / total,
        "silt_fraction": int(counts[Phase.SILT]) / total,
        "clay_fraction": int(counts[Phase.CLAY]) / total,
        "mean_entropy": entropy / total,
    }


def is_in_reach(model: TrainedModel, factor: float) -> bool:
    """Tell whether a model can see what it was trained for; see `resample_factor`."""
    low, high = model.scale_range
    return low / _REACH <= factor <= high * _REACH


def check_scale(
    micrograph: Micrograph, model: TrainedModel, factor: float, warn: Warn = _ignore
) -> None:
    """Warn where a micrograph is resampled by more than the model was trained for, or refuse it.

    Parameters
    ----------
    micrograph : Micrograph
        As it is in the file.
    model : TrainedModel
        Its recipe tells the pixel size and the range of scales that it was trained with.
    factor : float
        See `resample_factor`.
    warn : callable
        See `segment_mask`.

    Raises
    ------
    MudrockError
        If the factor lies beyond three times the range.
    """
    low, high = model.scale_range
    least, most = (model.nm_per_pixel * bound for bound in (low, high))
    source, size = micrograph.path or micrograph.name, micrograph.pixel_size
    trained = f"the model {model.name} was trained for {least:g} to {most:g} nm"
    if size is None:
        warn(
            "no pixel size",
            f"{source}: no pixel size in the file; segmented as it is, and the mask has none; "
            "give --pixel-size",
        )
        return
    told, seen_nm = f"{size.nm:.6g} nm", factor * model.nm_per_pixel
    if factor != 1 and abs(seen_nm / size.nm - 1) > _SAME:
        told += f" ({seen_nm:.4g} nm, repeated rows and columns taken once)"
    given = size.source.startswith("--pixel-size")
    remedy = "mend --pixel-size" if given else "give --pixel-size and --override-pixel-size"
    if not is_in_reach(model, factor):
        raise MudrockError(
            f"{source}: {told} per pixel, and {trained}: it cannot show what the model looks for",
            f"where that is wrong, {remedy}; otherwise take micrographs of about "
            f"{model.nm_per_pixel:g} nm per pixel, or train a model on such",
        )
    elif not low <= factor <= high:
        warn(
            "pixel size outside what the model was trained for",
            f"{source}: {told} per pixel, so it is resampled {factor:.3g} times; "
            f"{trained}: check the overlay",
        )


def _compare_with_training(
    figures: Mapping[str, float | None],
    model: TrainedModel,
    known: Mapping[str, Any],
    entropy: float,
    source: str,
    warn: Warn,
) -> dict[str, Any]:
    """Return the figures of a micrograph and which lie outside the training range; warn of them."""
    if not known:
        return {}
    everything = {**figures, ENTROPY: entropy}
    outside = find_outside(known, everything)
    if outside:
        warn(
            "unlike what the model was trained on",
            f"{source}: unlike what the model {model.name} was trained on: "
            f"{describe_outside(known, everything)}; check the overlay",
        )
    return {"appearance": dict(figures), "outside_domain": outside}


# A micrograph to phases, band by band.

_PRIOR_SHARE = 0.3  # of the time, that of the classical prior
_OUTLINES_SHARE = 0.2  # of the time, that of moving outlines
_CHUNK_PIXELS = 1 << 21  # of the image, whose probabilities stand in memory at once


def segment_bands(
    micrograph: Micrograph,
    recipe: Recipe,
    start_engine: Callable[[], Engine],
    *,
    temperature: float = 1.0,
    confidence_temperature: float = 1.0,
    advance: Advance = _ignore,
    mapper: Map = map,
    parts: int = 1,
    confidence: bool = True,
) -> Iterator[SegmentedBand]:
    """Segment a micrograph and yield it from top to bottom, every row once.

    Parameters
    ----------
    micrograph : Micrograph
        Without repeated rows and columns; read through windows, and resampled to the model's pixel
        size if it has one itself.
    recipe : Recipe
        Of the model: pixel size, tiles, weights of the classical prior.
    start_engine : callable
        Returns the engine that runs the model. For parts that travel, it travels too.
    temperature : float
        That of the model; softens the classical prior.
    confidence_temperature : float
        Softens what network and prior say together; see `soften`.
    advance : callable
        ``advance(done, total)``, in tiles, or in rows where there are parts; in thousandths of
        the whole where there is a prior.
    mapper : callable
        Does the bands of the prior, and the parts.
    parts : int
        Into how many parts the specimen may be cut. At a seam one or two rows of tiles are computed
        in both; the result is the same.
    confidence : bool
        Whether that is wanted; 0 otherwise where there are parts.

    Raises
    ------
    MudrockError
        If the micrograph cannot be read, all its pixels have the same grey, or the network gives
        what is no probability.
    """
    box, (height, width) = micrograph.specimen, micrograph.shape
    if not (box.height and box.width):
        yield SegmentedBand.void(slice(0, height), width)
        return
    if box.top:
        yield SegmentedBand.void(slice(0, box.top), width)
    prior = find_prior(micrograph, recipe, temperature, mapper, _share(advance, 0, _PRIOR_SHARE))
    if prior:
        prior = replace(prior, temperature=confidence_temperature)
        advance = _share(advance, _PRIOR_SHARE, 1)
    if parts == 1:
        whole = slice(0, box.height)
        yield from _segment_part(micrograph, recipe, start_engine(), whole, prior, advance)
    else:
        yield from _map_parts(
            micrograph, recipe, start_engine, prior, mapper, parts, confidence, advance
        )
    if box.bottom < height:
        yield SegmentedBand.void(slice(box.bottom, height), width)


def _share(advance: Advance, start: float, stop: float) -> Advance:
    """Return what tells of a stage of the work as of a share of the whole."""
    return lambda done, total: advance(
        round(1000 * (start + (stop - start) * done / max(total, 1))), 1000
    )


def _restore(band: SegmentedBand, given: Deduplicated) -> SegmentedBand:
    """Return a band on the pixels of the file, repeated rows and columns included."""
    return SegmentedBand(
        given.restore_rows(band.rows),
        given.restore(band.phases, band.rows),
        given.restore(band.confidence, band.rows),
        band.entropy * given.area_factor,
    )


def _segment_part(
    micrograph: Micrograph,
    recipe: Recipe,
    engine: Engine,
    part: slice,
    prior: "Prior | None",
    advance: Advance = _ignore,
) -> Iterator[SegmentedBand]:
    """Segment rows of the specimen; the prior's bands begin with the part."""
    box, width = micrograph.specimen, micrograph.shape[1]
    found = Rows(prior.bands) if prior else None
    for rows, probabilities in _predict(micrograph, recipe, engine, part, advance):
        band = SegmentedBand.void(slice(box.top + rows.start, box.top + rows.stop), width)
        entropy = _sum_entropy(probabilities)  # of the network alone, not of the prior
        if prior and found:
            probabilities = combine(probabilities, found.take(len(probabilities)), prior)
        band.phases[:, box.columns] = probabilities.argmax(axis=2)
        if prior and prior.temperature != 1:
            probabilities = soften(probabilities, prior.temperature)
        highest = probabilities.max(axis=2)
        # Cubic interpolation oversteps 0 and 1 a little.
        band.confidence[:, box.columns] = np.rint(255 * np.clip(highest, 0, 1))
        yield replace(band, entropy=entropy)


def _predict(
    micrograph: Micrograph, recipe: Recipe, engine: Engine, part: slice, advance: Advance
) -> Iterator[tuple[slice, Probabilities]]:
    """Yield the network's probabilities on the specimen's rows, in bounded chunks."""
    tiling = plan_tiling(micrograph, recipe)
    grid, shape, tile_rows = tiling.plan.shape, tiling.shape, tiling.needed(part)
    total, computed = len(tile_rows) * len(tiling.plan.lefts), 0

    def compute(tiles: npt.NDArray[Any]) -> Probabilities:
        nonlocal computed
        probabilities = engine.predict(tiles)
        computed += len(tiles)
        advance(computed, total)
        return probabilities

    shown = resample(micrograph.read_specimen(), shape, grid)
    if recipe.data.normalise:
        shown = normalise_grey(shown, grid)
    step = max(1, _CHUNK_PIXELS // shape[1])
    across = axis_taps(grid[1], shape[1], slice(None))
    held: Probabilities | None = None
    first, done = 0, part.start
    for rows, band in blend_tiles(shown, tiling.plan, compute, engine.batch, tile_rows):
        if held is None:
            held, first = band, rows.start
        else:
            held = np.concatenate([held, band])
        ready = min(count_ready(rows.stop, grid[0], shape[0]), part.stop)
        while done < ready:
            wanted = slice(done, min(done + step, ready))
            vertical = axis_taps(grid[0], shape[0], wanted)
            source = slice(vertical.source.start - first, vertical.source.stop - first)
            block = held[source]
            if grid[0] != shape[0]:
                block = vertical.apply(block, 0, vertical.source.start)
            yield wanted, across.apply(block, 1, 0) if grid[1] != shape[1] else block
            done = wanted.stop
        if done < shape[0]:
            keep = min(first_needed(grid[0], shape[0], done), rows.stop)
            held, first = held[keep - first :], keep


def _sum_entropy(probabilities: Probabilities) -> float:
    """Return the sum over pixels of -sum(p ln p) / ln 3."""
    safe = np.clip(probabilities, 1e-7, 1)
    terms = np.log(safe)
    terms *= safe
    return -float(terms.sum(dtype=np.float64)) / math.log(3)


# The classical prior: what the image-processing workflow finds, as evidence beside the network.

_WORKFLOW = "groundtruth"


@dataclass(frozen=True)
class Prior:
    """Phases that the classical workflow finds, and how much they count.

    Parameters
    ----------
    bands : iterator of ndarray of uint8, shape (rows, columns)
        Clay, silt or pore on the specimen's rows, from top to bottom.
    factors : ndarray of float32, shape (3, 3)
        By what the probabilities of clay, silt and pore (columns) are multiplied where the
        workflow finds clay, silt or pore (rows).
    temperature : float
        Calibrates the probabilities that come of it.
    """

    bands: Iterator[Phases]
    factors: npt.NDArray[np.float32]
    temperature: float = 1.0


def weigh_evidence(weights: Sequence[float], *, tells_silt: bool = True) -> npt.NDArray[np.float32]:
    """Return the factors of a `Prior`.

    Parameters
    ----------
    weights : sequence of float
        Logarithms of odds, from ``inference.workflow`` of a recipe: of clay found against silt, of
        silt found against clay, of a solid found against pore, of pore found against both solids.
    tells_silt : bool
        Whether silt and clay are told apart; if not, either means only that there is no pore.

    Notes
    -----
    The workflow's finding is taken as independent of the network's (naive Bayes). Evidence for one
    solid never makes the other one less likely than pore: a network that sees silt where the
    workflow finds clay would otherwise see more pores for it.
    """
    clay, silt, solid, pore = weights
    other_if_clay, other_if_silt = (max(solid - own, 0.0) for own in (clay, silt))
    if not tells_silt:
        other_if_clay = other_if_silt = solid
    evidence = [[solid, other_if_clay, 0], [other_if_silt, solid, 0], [0, 0, pore]]
    return np.asarray(np.exp(evidence), np.float32)


def combine(probabilities: Probabilities, found: Phases, prior: Prior) -> Probabilities:
    """Return probabilities (rows, columns, 3) given the phases that the workflow finds there."""
    combined: Probabilities = probabilities * prior.factors[found]
    combined /= combined.sum(axis=2, keepdims=True)
    return combined


def soften(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Return probabilities (rows, columns, 3) whose logarithms are divided by a temperature.

    Network and workflow are not quite independent: what both find is less certain than `combine`
    makes it. The order of the phases stays.
    """
    softened: Probabilities = np.log(np.clip(probabilities, 1e-30, 1))
    softened /= np.float32(temperature)
    np.exp(softened, out=softened)
    softened /= softened.sum(axis=2, keepdims=True)
    return softened


def find_prior(
    micrograph: Micrograph,
    recipe: Recipe,
    temperature: float = 1.0,
    mapper: Map = map,
    advance: Advance = _ignore,
) -> Prior | None:
    """Return the classical prior of a micrograph, if the recipe of a model wants one.

    Network and workflow err differently: one knows textures, the other distances. There is no prior
    where pixels are too coarse for the workflow's pores, and none about silt where the field hardly
    holds a grain.

    Parameters
    ----------
    micrograph : Micrograph
        Without repeated rows and columns.
    recipe : Recipe
        Of the model.
    temperature : float
        Calibrates the network, and softens the prior alike.
    mapper : callable
        Does the bands.
    advance : callable
        ``advance(done, total)`` in bands.

    Raises
    ------
    MudrockError
        If all pixels of the micrograph have the same grey.
    """
    if not any(recipe.inference.workflow):
        return None
    # Like the network, which takes a micrograph without a pixel size as if it had the model's.
    size = micrograph.pixel_size or PixelSize(recipe.data.nm_per_pixel, "that of the model")
    steps = load_workflow(_WORKFLOW)
    if not steps.contrast.shows(size.nm):
        return None
    bands = candidate_phases(replace(micrograph, pixel_size=size), steps, mapper, advance)
    weights = [weight / temperature for weight in recipe.inference.workflow]
    tells_silt = steps.tells_silt(micrograph.specimen.shape, size.nm)
    return Prior(bands, weigh_evidence(weights, tells_silt=tells_silt))


def name_prior(model: TrainedModel) -> str | None:
    """Return a hash of the workflow's settings, if a model has a classical prior."""
    return load_workflow(_WORKFLOW).digest if any(model.recipe.inference.workflow) else None


# How the tiles of a network cover a specimen.

_MARGIN_SHARE = 8  # tiles reach over the edges by overlap / 8, so that no edge meets padding
_LEAST_ROWS = 4  # of tiles in a part: one or two more are computed twice at each seam


@dataclass(frozen=True)
class Tiling:
    """A specimen at the model's pixel size, covered with tiles.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the specimen at the micrograph's own pixel size.
    plan : TilePlan
        Covers the specimen at the model's.
    """

    shape: tuple[int, int]
    plan: TilePlan

    def ready(self, number: int) -> int:
        """Return how many of the specimen's rows are known from the first rows of tiles."""
        size, below = self.plan.shape[0], self.plan.tops[number:]
        done = min(max(below[0], 0), size) if below else size
        return max(0, count_ready(done, size, self.shape[0]))

    def needed(self, rows: slice) -> range:
        """Return the rows of tiles that have a share in rows of the specimen."""
        size, count = self.plan.shape[0], len(self.plan.tops)
        first = first_needed(size, self.shape[0], rows.start) if rows.start else 0
        lead = next(n for n in range(count) if self.plan.tops[n] + self.plan.tile > first)
        stop = next(n for n in range(1, count + 1) if self.ready(n) >= rows.stop)
        return range(min(lead, stop - 1), stop)

    def divide(self, count: int) -> list[slice]:
        """Cut the specimen into at most `count` parts of rows, which give what one piece would."""
        total = len(self.plan.tops)
        count = max(1, min(count, total // _LEAST_ROWS))
        edges = [0, *(self.ready(total * number // count) for number in range(1, count + 1))]
        return [slice(top, bottom) for top, bottom in pairwise(edges) if top < bottom]


def plan_tiling(micrograph: Micrograph, recipe: Recipe) -> Tiling:
    """Cover a micrograph's specimen; one without a pixel size is taken to have the model's."""
    shape, inference = micrograph.specimen.shape, recipe.inference
    grid = scaled_shape(shape, resample_factor(micrograph, recipe.data.nm_per_pixel))
    margin = inference.overlap // _MARGIN_SHARE
    return Tiling(shape, plan_tiles(grid, inference.tile, inference.overlap, margin))


def resample_factor(micrograph: Micrograph, nm_per_pixel: float) -> float:
    """Return the micrograph's pixel size over the model's; 1 where it has none, or nearly."""
    return scale_factor(micrograph.pixel_size.nm, nm_per_pixel) if micrograph.pixel_size else 1.0


def count_ready(done: int, size: int, new_size: int) -> int:
    """Return how many rows can be resampled from the first `done` of `size` to `new_size`."""
    # Taps reach two pixels beyond the centre, or over the pixel's own length.
    ready = new_size if done == size else math.floor((done - 3) * new_size / size)
    return min(ready, new_size)


def first_needed(size: int, new_size: int, row: int) -> int:
    """Return the first of `size` rows that a row of `new_size` is resampled from."""
    return int(axis_taps(size, new_size, slice(row, row + 1)).source.start)


# The parts of a mosaic, wherever they are done; the bands come back in order.


@dataclass(frozen=True)
class _Part:
    """Rows of the specimen, and what the classical workflow finds there."""

    rows: slice
    found: Packed | None
    factors: npt.NDArray[np.float32] | None
    temperature: float = 1.0


@dataclass(frozen=True)
class _PackedBand:
    """A `SegmentedBand`, compressed; without its confidence where that is not wanted."""

    rows: slice
    phases: Packed
    confidence: Packed | None
    entropy: float

    def unpack(self) -> SegmentedBand:
        phases = self.phases.unpack()
        confidence = self.confidence.unpack() if self.confidence else np.zeros_like(phases)
        return SegmentedBand(self.rows, phases, confidence, self.entropy)


def _map_parts(
    micrograph: Micrograph,
    recipe: Recipe,
    start_engine: Callable[[], Engine],
    prior: "Prior | None",
    mapper: Map,
    count: int,
    confidence: bool,
    advance: Advance,
) -> Iterator[SegmentedBand]:
    rows = plan_tiling(micrograph, recipe).divide(count)
    work = partial(_segment_packed, micrograph, recipe, start_engine, confidence)
    found = Rows(prior.bands) if prior else None

    def brief(part: slice) -> _Part:
        if prior is None or found is None:
            return _Part(part, None, None)
        packed = Packed.pack(found.take(part.stop - part.start))
        return _Part(part, packed, prior.factors, prior.temperature)

    for part, bands in zip(rows, mapper(work, [brief(part) for part in rows]), strict=True):
        yield from (band.unpack() for band in bands)
        advance(part.stop, micrograph.specimen.height)


def _segment_packed(
    micrograph: Micrograph,
    recipe: Recipe,
    start_engine: Callable[[], Engine],
    confidence: bool,
    part: _Part,
) -> list[_PackedBand]:
    prior = None
    if part.found is not None and part.factors is not None:
        prior = Prior(iter([part.found.unpack()]), part.factors, part.temperature)
    return [
        _PackedBand(
            band.rows,
            Packed.pack(band.phases),
            Packed.pack(band.confidence) if confidence else None,
            band.entropy,
        )
        for band in _segment_part(micrograph, recipe, start_engine(), part.rows, prior)
    ]


# What runs a model.


class ForestEngine(Engine):
    """A random forest as an `Engine`."""

    def __init__(self, forest: Any, tile: int) -> None:
        super().__init__("forest", tile, 1, "the forest")
        self._forest = forest

    def _run(self, tiles: npt.NDArray[Any]) -> Probabilities:
        whole = np.asarray(np.rint(tiles), np.uint8)
        return np.stack([self._forest.predict(np.ascontiguousarray(tile)) for tile in whole])


def is_forest(model: TrainedModel) -> bool:
    """Tell whether a model is a random forest."""
    return model.recipe.network.architecture == "forest"


def choose_engine(model: TrainedModel, name: EngineName = "auto") -> str:
    """Return the name of what will predict: a forest has one engine whatever is asked for."""
    return "forest" if is_forest(model) else networks.choose_engine(model, name)


def open_engine(model: TrainedModel, name: EngineName = "auto") -> Engine:
    """Start what predicts for a model.

    Raises
    ------
    MudrockError
        If a file of the model is damaged, or it has nothing that this engine can run.
    """
    if not is_forest(model):
        return networks.open_engine(model, name)
    from mudrock_cli.classical.forest import Forest

    return ForestEngine(Forest.load(model.path), model.recipe.inference.tile)


_starting = Lock()


def share_engine(model: str, digest: str, name: str) -> Engine:
    """Return the engine of a model, which a process starts once.

    Parameters
    ----------
    model : str
        As `load_model` takes it: a name, since packages lie elsewhere on other machines, or the
        absolute path of a folder.
    digest : str
        The hash that the model must have.
    name : str
        From `choose_engine`.

    Raises
    ------
    UsageError
        If there is no such model here, another one, or one that cannot run.
    """
    with _starting:
        return _start_engine(model, digest, name)


@lru_cache(maxsize=2)
def _start_engine(reference: str, digest: str, name: str) -> Engine:
    try:
        model = load_model(reference)
        if model.digest != digest:
            raise MudrockError(
                f"{model.path}: another model than where the command runs",
                "install the same mudrock everywhere, or give a folder that all machines share",
            )
        return open_engine(model, cast("EngineName", name))
    except MudrockError as error:
        raise UsageError(error.message, error.hint) from error
