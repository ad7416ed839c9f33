"""How a micrograph looks, and whether it looks like those that a model was trained on.

Features of an encoder that learnt from photographs tell rocks apart: a micrograph is marked where
it lies farther from the training micrographs than these lie from each other, or where its grey is
skewed otherwise, as in a negative.

Four figures describe it that brightness and contrast of the screen do not move. Two slopes say how
its texture grows with distance: 0 for noise, in which neighbours differ as much as strangers, 2 for
a picture without any detail at that scale. Their difference tells rocks apart whose pictures are
equally sharp. The skew says whether darkness (pores) or brightness (pyrite, charging) stands out
from the middling grey.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mudrock_cli.errors import MudrockError
from mudrock_cli.files import atomic_write, read_named_arrays
from mudrock_cli.image.grey import normalise_grey
from mudrock_cli.image.mask import name_figure
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.resample import resample_micrograph

if TYPE_CHECKING:
    from mudrock_cli.deeplab.model import TrainedModel


FINE, MIDDLE, COARSE = 1, 4, 16
"""Distances over which greys are compared, pixels."""

_WINDOW = 512
_MOST = 4  # windows along an axis: a mosaic is sampled, a usual micrograph is seen whole
_DARK, _MIDDLE, _BRIGHT = 0.01, 0.5, 0.99


class Appearance:
    """Adds up what windows of one micrograph show; memory does not grow with them."""

    def __init__(self) -> None:
        self._greys = np.zeros(256, np.int64)
        self._squares = dict.fromkeys((FINE, MIDDLE, COARSE), 0.0)
        self._pairs = dict.fromkeys((FINE, MIDDLE, COARSE), 0)

    def add(self, window: npt.NDArray[np.uint8]) -> None:
        """Take in a window, shape (rows, columns)."""
        self._greys += np.bincount(window.ravel(), minlength=256)
        levels = window.astype(np.float32)
        for lag in self._squares:
            for steps in (levels[lag:] - levels[:-lag], levels[:, lag:] - levels[:, :-lag]):
                self._squares[lag] += float(np.square(steps).sum(dtype=np.float64))
                self._pairs[lag] += steps.size

    def figures(self) -> dict[str, float | None]:
        """Return the figures by name; None where there is nothing to tell them from.

        Returns
        -------
        dict
            ``fine_texture`` and ``coarse_texture``: ln(D(4 d) / D(d)) / ln 4 with the mean square
            difference D of greys at distance d, for d = 1 and d = 4 pixels along rows and columns.
            ``texture_bend``: the first less the second.
            ``grey_skew``: (bright + dark - 2 median) / (bright - dark), where a hundredth of the
            pixels is darker than dark and a hundredth brighter than bright; -1 to 1.

        Notes
        -----
        D is the structure function of the picture; for a fractal surface the slope is twice its
        Hurst exponent (Mandelbrot and Van Ness 1968, SIAM Review 10: 422-437). The skew is
        Kelley's, with hundredths for tenths (Kelley 1923, Statistical Method).
        """
        fine, coarse = self._slope(FINE, MIDDLE), self._slope(MIDDLE, COARSE)
        return {
            "fine_texture": fine,
            "coarse_texture": coarse,
            "texture_bend": None if fine is None or coarse is None else fine - coarse,
            "grey_skew": self._skew(),
        }

    def _slope(self, near: int, far: int) -> float | None:
        if not (self._squares[near] and self._squares[far]):
            return None
        growth = self._squares[far] / self._pairs[far] * self._pairs[near] / self._squares[near]
        return math.log(growth) / math.log(far / near)

    def grey_range(self) -> float:
        """Return the grey levels between the darkest and the brightest hundredth of the pixels."""
        if not self._greys.any():
            return math.inf
        dark, _, bright = self._quantiles()
        return bright - dark

    def _skew(self) -> float | None:
        if np.count_nonzero(self._greys) < 2:
            return None
        dark, middle, bright = self._quantiles()
        return (bright + dark - 2 * middle) / (bright - dark)

    def _quantiles(self) -> list[float]:
        shares = np.cumsum(self._greys) / self._greys.sum()
        edges = np.concatenate([[0.0], shares])  # at the levels' edges
        return [float(q) for q in np.interp((_DARK, _MIDDLE, _BRIGHT), edges, np.arange(257))]


def describe_appearance(micrograph: Micrograph, nm: float) -> dict[str, float | None]:
    """Return the figures of a micrograph at a pixel size; see `measure_appearance`."""
    return measure_appearance(micrograph, nm).figures()


def measure_appearance(micrograph: Micrograph, nm: float) -> Appearance:
    """Look at a micrograph at a pixel size, in at most sixteen windows.

    Parameters
    ----------
    micrograph : Micrograph
        Seen as it is where it has no pixel size. Its data bar does not count.
    nm : float
        Nanometres per pixel at which it is looked at.

    """
    seen = resample_micrograph(micrograph, nm) if micrograph.pixel_size else micrograph
    appearance = Appearance()
    for rows in _spread(seen.specimen.top, seen.specimen.bottom, _WINDOW, _MOST):
        for columns in _spread(seen.specimen.left, seen.specimen.right, _WINDOW, _MOST):
            appearance.add(seen.read(rows, columns))
    return appearance


def _spread(start: int, stop: int, longest: int, most: int) -> list[slice]:
    """Lay windows evenly along an axis; they cover one that is not too long."""
    length = stop - start
    number = min(most, -(-length // longest))
    side = min(longest, -(-length // max(1, number)))
    firsts = np.linspace(start, stop - side, number).round().astype(int).tolist()
    return [slice(first, first + side) for first in firsts]


# What an encoder sees that learnt from photographs, and never from micrographs.
#
# MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) with the ImageNet weights of Keras
# Applications, down to the 14th of its 17 blocks, where it sees at a sixteenth of the size.

Features = npt.NDArray[np.float32]

SIDE = 384
"""Rows and columns of a window that the encoder is shown."""

FEATURES = 160
"""What it tells of a window."""

_ENCODER = Path(__file__).with_name("appearance.xml")
_TURNS = Lock()


@lru_cache(maxsize=1)
def _start_encoder() -> Callable[[Any], Any]:
    """Compile the encoder, which a process does once."""
    import openvino

    precise = {"INFERENCE_PRECISION_HINT": "f32"}  # the same figures on every machine
    compiled: Callable[[Any], Any] = openvino.Core().compile_model(_ENCODER, "CPU", precise)
    return compiled


def encode_appearance(micrograph: Micrograph, nm: float) -> Features:
    """Return what the encoder sees in at most nine windows of a micrograph.

    Parameters
    ----------
    micrograph : Micrograph
        Seen as it is where it has no pixel size. Its data bar does not count.
    nm : float
        Nanometres per pixel at which it is looked at, brightness and contrast normalised.

    Returns
    -------
    ndarray of float32, shape (windows, 160)
        Means over each window; a small micrograph is continued by reflection. No windows where all
        of it is data bar.
    """
    seen = resample_micrograph(micrograph, nm) if micrograph.pixel_size else micrograph
    box = seen.specimen
    if not box.height or not box.width:
        return np.empty((0, FEATURES), np.float32)
    read = normalise_grey(seen.read_specimen(), (box.height, box.width))
    encoder = _start_encoder()
    found = []
    for rows in _spread(0, box.height, SIDE, 3):
        for columns in _spread(0, box.width, SIDE, 3):
            window = np.asarray(read(rows, columns), np.float32)
            missing = [(0, SIDE - side) for side in window.shape]
            whole = np.pad(window, missing, mode="symmetric")
            with _TURNS:  # a compiled model has one request, whose result the next overwrites
                found.append(np.array(encoder(whole[None, :, :, None])[0][0], np.float32))
    return np.stack(found)


@dataclass(frozen=True)
class FeatureDistribution:
    """How the encoder's features spread over the micrographs that a model was trained on.

    Parameters
    ----------
    features : ndarray of float32, shape (windows, features)
        Of `encode_appearance`, of all micrographs.
    sources : ndarray of int, shape (windows,)
        Which source micrograph each window is of; all sources count alike.
    """

    features: Features
    sources: npt.NDArray[np.int64]

    @classmethod
    def gather(cls, found: Mapping[str, Sequence[Features]]) -> "FeatureDistribution":
        """Put the windows of micrographs together, by source micrograph."""
        parts = [np.concatenate(list(windows)) for windows in found.values()]
        sources = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        return cls(np.concatenate(parts), sources)

    def extend(self, other: "FeatureDistribution") -> "FeatureDistribution":
        """Return both, as of different sources."""
        later = other.sources + int(self.sources.max()) + 1
        return FeatureDistribution(
            np.concatenate([self.features, other.features]), np.concatenate([self.sources, later])
        )

    def measure_distance(self, windows: Features) -> float:
        """Return how far a micrograph lies off, in standard deviations.

        sqrt(z' S⁻¹ z / d), with z the micrograph's mean less that of all, of d features, and S
        their covariance over windows, nine tenths, with its mean variance on the diagonal, one
        tenth (Mahalanobis 1936; shrunk as by Ledoit and Wolf 2004, doi
        10.1016/S0047-259X(03)00096-4, by a fixed share).
        """
        counts = np.bincount(self.sources)[self.sources]
        weights = 1.0 / counts
        weights /= weights.sum()
        centre = weights @ self.features
        deviations = self.features.astype(np.float64) - centre
        covariance = (deviations * weights[:, None]).T @ deviations
        size = len(covariance)
        mean_variance = float(np.trace(covariance)) / size
        shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * mean_variance * np.eye(size)
        off = windows.mean(axis=0) - centre
        return math.sqrt(max(0.0, float(off @ np.linalg.solve(shrunk, off)) / size))

    def find_limit(self) -> float | None:
        """Return from where on a micrograph lies outside; None of fewer than `LEAST` sources.

        `REACH` times the largest distance of a source micrograph from all the others.
        """
        numbers = np.unique(self.sources)
        if len(numbers) < LEAST:
            return None
        distances = []
        for number in numbers:
            own = self.sources == number
            others = FeatureDistribution(self.features[~own], self.sources[~own])
            distances.append(others.measure_distance(self.features[own]))
        return REACH * max(distances)

    def write(self, path: Path) -> None:
        """Write the windows' features in half precision."""
        with atomic_write(path) as part, part.open("wb") as file:
            np.savez_compressed(
                file, features=self.features.astype(np.float16), sources=self.sources
            )

    @classmethod
    def read(cls, path: Path) -> "FeatureDistribution":
        """Read what `write` wrote.

        Raises
        ------
        MudrockError
            If the file is damaged.
        """
        arrays = read_named_arrays(path)
        features, sources = arrays.get("features"), arrays.get("sources")
        if (
            features is None
            or sources is None
            or features.shape[1:] != (FEATURES,)
            or sources.shape != features.shape[:1]
            or sources.dtype.kind not in "iu"
            or not 0 <= int(sources.min(initial=0)) <= int(sources.max(initial=0)) < 1 << 16
            or not np.isfinite(features).all()
            or not features.size
        ):
            raise MudrockError(f"{path}: holds no features of micrographs", "train the model again")
        return cls(features.astype(np.float32), sources.astype(np.int64))


_SHRINKAGE = 0.1

REACH = 1.5
"""Times the distance of the most unlike training micrograph.

Strips of five Kumano Basin micrographs that nobody trained on lie within 1.2 times, fields of
4 µm cut from them within 1.5; another shale and other materials beyond 1.9 times. The encoder's
layer and this factor were chosen on these very pictures.
"""


# The range that training micrographs span, in those distances and in the network's entropy.
#
# A network answers whatever it is shown. Where a micrograph looks unlike all that it learned from,
# its mask may still be right, but no figure on the model's card speaks for it.

MARGIN = 0.75
"""By how much of its width the span of the training micrographs is widened at either end."""

LEAST = 3
"""Fewer micrographs span nothing."""

ENTROPY = "doubt"
"""Mean entropy, by the name that it has on cards."""

DISTANCE = "distance"
"""Distance from the training micrographs, by the name that it has on cards."""

SKEW = "grey_skew"
"""Which the encoder does not tell: a negative is as near to it as the micrograph."""

RANGE = "range.npz"
"""The features of a model's training micrographs, in its folder."""

Figures = Mapping[str, float | None]


@dataclass(frozen=True)
class Limits:
    """Between which values a figure is known; both included.

    Parameters
    ----------
    low, high : float
        The span of the training micrographs, widened by `MARGIN`.
    """

    low: float
    high: float

    def hold(self, value: float | None) -> bool:
        """Tell whether a value lies within; one that could not be measured does not."""
        return value is not None and self.low <= value <= self.high


TrainingRange = Mapping[str, Limits]


def span_training_range(figures: Iterable[Figures]) -> dict[str, Limits]:
    """Return what training micrographs span.

    Parameters
    ----------
    figures : iterable of mapping
        Of each micrograph: `describe_appearance` and, of a network, ``doubt``, its mean entropy
        as a share of ln 3. A figure that one of them lacks is left out.

    Returns
    -------
    dict of str to Limits
        Empty where there are fewer than `LEAST` micrographs. No entropy is too small, and no
        difference of the texture's slopes too large: it tells that a picture is sharp and its
        grains are even.
    """
    rows = list(figures)
    found: dict[str, Limits] = {}
    if len(rows) < LEAST:
        return found
    for name in rows[0]:
        values = [value for row in rows if (value := row.get(name)) is not None]
        if len(values) == len(rows):
            margin = MARGIN * (max(values) - min(values))
            low = 0.0 if name == ENTROPY else min(values) - margin
            found[name] = Limits(low, max(values) + margin)
    return found


def widen_training_range(known: TrainingRange, figures: Iterable[Figures]) -> dict[str, Limits]:
    """Return the range of a model that learned from some micrographs more; see `Limits`."""
    rows, found = list(figures), {}
    for name, limits in known.items():
        values = [value for row in rows if (value := row.get(name)) is not None]
        found[name] = Limits(min([limits.low, *values]), max([limits.high, *values]))
    return found


def find_outside(known: TrainingRange, figures: Figures) -> list[str]:
    """Return the names of the figures that lie outside the training range."""
    return [name for name, limits in known.items() if not limits.hold(figures.get(name))]


def measure_excess(known: TrainingRange, figures: Figures) -> float:
    """Return how far outside the training range the farthest figure lies, in widths of its range.

    0 within the range; a figure that could not be measured lies one width outside.
    """
    distances = [0.0]
    for name in find_outside(known, figures):
        value, limits = figures.get(name), known[name]
        width = limits.high - limits.low
        beyond = None if value is None else max(limits.low - value, value - limits.high)
        distances.append(1.0 if beyond is None or not width else beyond / width)
    return max(distances)


def describe_outside(known: TrainingRange, figures: Figures) -> str:
    """Say which figures lie outside, with their values and limits."""
    told = []
    for name in find_outside(known, figures):
        value, limits = figures.get(name), known[name]
        shown = "not measurable" if value is None else f"{value:.2f}"
        span = f"{limits.low:.2f} to {limits.high:.2f}"
        told.append(f"{name_figure(name)} {shown} ({span})")
    return ", ".join(told)


def read_training_range(model: "TrainedModel") -> dict[str, Limits]:
    """Read the training range from a model's card; empty where the card does not tell.

    Raises
    ------
    MudrockError
        If the card tells it in another form than `write_training_range` gives it.
    """
    try:
        found = {
            str(name): Limits(float(row["low"]), float(row["high"]))
            for name, row in model.card.get("domain", {}).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = "its domain is no table of low and high"
        raise MudrockError(f"{model.path}/card.json: {reason}", "train the model again") from error
    if not all(math.isfinite(row.low) and math.isfinite(row.high) for row in found.values()):
        reason = "its domain has limits that are not finite"
        raise MudrockError(f"{model.path}/card.json: {reason}", "train the model again")
    return found


def write_training_range(known: TrainingRange) -> dict[str, dict[str, float]]:
    """Return what `read_training_range` reads, JSON-able."""
    return {name: {"low": row.low, "high": row.high} for name, row in known.items()}
