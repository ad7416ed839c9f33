"""The paper's other method: a random forest on filter responses, pixel by pixel.

What the Trainable Weka Segmentation does (Arganda-Carreras et al. 2017, doi
10.1093/bioinformatics/btx180), for a user with a few labelled patches and no GPU: Gaussians at
several scales, and at each scale the Sobel gradient, the two eigenvalues of the Hessian, the
difference to the next finer Gaussian and the local standard deviation. A forest is kept as a model
folder: ``recipe.toml`` and ``weights.npz``, which holds numbers only.
"""

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import numpy.typing as npt
import tomli_w

from mudrock_cli.config import from_dict, parse_toml, read_text, setting, to_dict
from mudrock_cli.errors import MudrockError
from mudrock_cli.files import atomic_write, read_named_arrays
from mudrock_cli.image.types import Phase

Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Responses = npt.NDArray[np.uint8]
"""Filter responses in 256 steps, shape (pixels, features)."""

_ARCHITECTURE = "forest"
_WEIGHTS, _RECIPE = "weights.npz", "recipe.toml"
_AGAIN = "train the model again"
_INFERENCE = {"tile": 1024, "overlap": 384}
_KINDS = ("gauss", "sobel", "hessian_high", "hessian_low", "difference", "deviation")
_BORDER = cv2.BORDER_REFLECT
_MOST_SIGMA = 4.0  # pixels: wider Gaussians are computed on a reduced image
_BAND_PIXELS = 1 << 20
_CHUNK = 16384  # pixels at once: their responses and places fit a core's cache
_ENOUGH, _LEAD = 25, 0.4  # trees, and lead in probability, after which a phase is settled
_PHASES = (Phase.CLAY, Phase.SILT, Phase.PORE)
_TAIL = 0.002  # share of the training pixels below and above the 256 steps of a response


@dataclass(frozen=True)
class ForestRecipe:
    """How a forest is grown; trees and features per node are the paper's."""

    nm_per_pixel: float = setting(
        10.0, "pixel size of the images it learns from and is given, nm", low=1e-3, high=1e6
    )
    trees: int = setting(200, "number of trees", low=1, high=5000)
    features_per_node: int = setting(
        2, "filter responses drawn at random at each node for the best split", low=1, high=200
    )
    depth: int = setting(10, "deepest level of a tree", low=1, high=14)
    min_leaf: int = setting(5, "fewest training pixels in a leaf", low=1, high=10**6)
    scales: tuple[float, ...] = setting(
        (1.0, 2.0, 4.0, 8.0, 16.0, 32.0),
        "standard deviations of the Gaussians, pixels",
        low=0.3,
        high=256,
        length=(1, 16),
    )
    pixels_per_phase: int = setting(
        30_000, "pixels of each phase, drawn from all images together", low=1, high=10**7
    )
    prior: float = setting(
        0.6,
        "0: every phase is taken to be equally likely beforehand; 1: as likely as it is frequent "
        "in the labels; labels on less than half of the pixels (scribbles) tell no frequency, and "
        "count as 0",
        low=0,
        high=1,
    )
    brightness: float = setting(
        5.0,
        "training pixels are made brighter or darker at random by about so many grey levels, since "
        "microscopes differ",
        low=0,
        high=255,
    )
    contrast: float = setting(
        0.05, "and richer or poorer in contrast by about this share", low=0, high=2
    )
    seed: int = setting(20220101, "of everything random", low=0, high=2**32 - 1)

    @classmethod
    def from_toml(cls, text: str, source: str = "recipe") -> Self:
        """Read the recipe of a model; whatever the text leaves out keeps its default.

        Parameters
        ----------
        text : str
            TOML with ``network.architecture = "forest"``, ``data.nm_per_pixel`` and ``[forest]``.
        source : str
            Where it is from, for messages.

        Raises
        ------
        MudrockError
            If it is no TOML, the recipe of something else, or has an unknown key or a wrong value.
        """
        table = parse_toml(text, source)
        network, data, values = (table.get(name, {}) for name in ("network", "data", "forest"))
        for name, section in {"network": network, "data": data, "forest": values}.items():
            if not isinstance(section, dict):
                raise MudrockError(f"{source}: [{name}] must be a table")
        if network.get("architecture") != _ARCHITECTURE:
            raise MudrockError(f'{source}: network.architecture is not "{_ARCHITECTURE}"')
        if "nm_per_pixel" in data:
            values = values | {"nm_per_pixel": data["nm_per_pixel"]}
        return from_dict(cls, values, source, "forest")

    def to_toml(self) -> str:
        """Write the recipe of a model, defaults included."""
        values = to_dict(self)
        nm_per_pixel = values.pop("nm_per_pixel")
        return tomli_w.dumps(
            {
                "network": {"architecture": _ARCHITECTURE},
                "data": {"nm_per_pixel": nm_per_pixel},
                "forest": values,
                "inference": _INFERENCE,
            }
        )


def name_responses(scales: Sequence[float]) -> list[str]:
    """Return the names of the responses, in the order in which they are computed."""
    return ["grey", *(f"{kind}_{scale:g}" for scale in scales for kind in _KINDS)]


def find_levels(scales: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Mark the responses that rise with the brightness; the others rise with contrast only."""
    return np.array([name.split("_")[0] in ("grey", "gauss") for name in name_responses(scales)])


def find_reach(scales: Sequence[float]) -> int:
    """Return how many pixels away a response still looks, a multiple of all reductions.

    A band that begins at such a multiple gives what the whole image gives.
    """
    widest = max(scales)
    step = _reduction(widest)
    return step * math.ceil((4 * widest + 2 * step + 1) / step)


def compute_responses(grey: npt.NDArray[np.uint8], scales: Sequence[float]) -> Iterator[Floats]:
    """Compute the responses one after the other, so that memory holds few of them.

    By OpenCV, in a ninth of the time of scikit-image's ``multiscale_basic_features``, which lacks a
    third of them.

    Parameters
    ----------
    grey : ndarray of uint8, shape (H, W)
        Grey levels; the image is mirrored at its border.
    scales : sequence of float
        Standard deviations of the Gaussians in pixels, ascending.

    Yields
    ------
    ndarray of float32, shape (H, W)
        In the order of :func:`name_responses`. Derivatives are multiplied by the scale to their
        order, which makes them comparable between scales (Lindeberg 1998).
    """
    finer = grey.astype(np.float32)
    yield finer
    squares = finer * finer
    plain = finer
    for scale in scales:
        smooth = blur(plain, scale)
        yield smooth
        across, along = _derive(smooth, 1, 0) * scale, _derive(smooth, 0, 1) * scale
        yield cv2.magnitude(across, along)
        xx, yy = _derive(smooth, 2, 0) * scale**2, _derive(smooth, 0, 2) * scale**2
        xy = _derive(smooth, 1, 1) * scale**2
        middle, half = (xx + yy) / 2, cv2.magnitude((xx - yy) / 2, xy)
        yield middle + half
        yield middle - half
        yield finer - smooth
        yield np.sqrt(np.maximum(blur(squares, scale) - smooth * smooth, 0))
        finer = smooth


def blur(image: Floats, sigma: float) -> Floats:
    """Convolve with a Gaussian; a wide one on an image reduced by averaging, then enlarged."""
    step = _reduction(sigma)
    if step == 1:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=_BORDER), np.float32)
    height, width = image.shape
    padded = cv2.copyMakeBorder(image, 0, -height % step, 0, -width % step, _BORDER)
    size = padded.shape[1], padded.shape[0]
    small = cv2.resize(padded, (size[0] // step, size[1] // step), interpolation=cv2.INTER_AREA)
    # Averaging over a block adds a variance of 1/12, linear interpolation one of 1/6 small pixels.
    reduced = math.sqrt((sigma / step) ** 2 - 1 / 12 - 1 / 6)
    small = cv2.GaussianBlur(small, (0, 0), reduced, borderType=_BORDER)
    return np.asarray(cv2.resize(small, size)[:height, :width], np.float32)


def _reduction(sigma: float) -> int:
    step = 1
    while sigma / step > _MOST_SIGMA:
        step *= 2
    return step


def _derive(image: Floats, across: int, along: int) -> Floats:
    """Return a derivative per pixel, by a 3 × 3 Sobel operator."""
    scale = 1 / 8 if across + along == 1 else 1 / 4
    return np.asarray(cv2.Sobel(image, cv2.CV_32F, across, along, ksize=3, scale=scale), np.float32)


@dataclass(frozen=True)
class Trees:
    """T trees of depth D over F features, as rectangular tables of numbers.

    A tree of depth D is a complete binary tree: the root is node 1, node n has the children 2n and
    2n + 1, and the nodes from 2^D on are its leaves. A branch that ended early goes on with nodes
    that always lead left. So a tree needs no pointers, a file of trees can hold nothing but
    numbers, and every pixel takes the same D steps, which NumPy does for thousands at once: in 0.4
    times the time of scikit-learn, whose files are programs.

    Parameters
    ----------
    feature, threshold : ndarray of uint8, shape (T, 2**D)
        A pixel goes right at a node where its response of this feature exceeds the threshold.
        Node 0 does not exist.
    value : ndarray of float16, shape (T, 2**D, 3)
        Probabilities of clay, silt, pore in each leaf.
    """

    feature: npt.NDArray[np.uint8]
    threshold: npt.NDArray[np.uint8]
    value: npt.NDArray[np.float16]

    def predict(
        self, responses: Responses, prior: npt.NDArray[np.float32], threads: int | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the trees' mean probabilities, weighted by a prior.

        A pixel whose phase leads by far after some trees is not shown to the others: they would
        change the phase of fewer than one such pixel in a thousand, and cost four fifths of the
        time.

        Parameters
        ----------
        responses : ndarray of uint8, shape (N, F)
            One row per pixel.
        prior : ndarray of float32, shape (3,)
            Weights of clay, silt, pore.
        threads : int, optional
            All cores by default.

        Returns
        -------
        ndarray of float32, shape (N, 3)
            Probabilities that add up to 1.
        """
        found = np.empty((len(responses), 3), np.float32)
        values = self.value.astype(np.float32) * prior
        tables = list(zip(self.feature.astype(np.intp), self.threshold, values, strict=True))

        def run(top: int) -> None:
            chunk = np.ascontiguousarray(responses[top : top + _CHUNK])
            votes = _descend(chunk, tables[:_ENOUGH])
            ranked = np.sort(votes, axis=1)
            close = np.flatnonzero(ranked[:, 2] - ranked[:, 1] < _LEAD * votes.sum(axis=1))
            if len(close) and len(tables) > _ENOUGH:
                votes[close] += _descend(chunk[close], tables[_ENOUGH:])
            found[top : top + _CHUNK] = votes / votes.sum(axis=1, keepdims=True)

        with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
            list(pool.map(run, range(0, len(responses), _CHUNK)))
        return found


def _descend(responses: Responses, tables: Sequence[tuple[Any, Any, Any]]) -> Floats:
    """Walk all pixels down all trees, level by level, and add up what stands in the leaves."""
    count, features = responses.shape
    flat, rows = responses.ravel(), np.arange(count) * features
    node, place = np.empty((2, count), np.intp)
    response, limit = np.empty((2, count), np.uint8)
    right = np.empty(count, np.bool_)
    leaf = np.empty((count, 3), np.float32)
    total = np.zeros((count, 3), np.float32)
    for feature, threshold, value in tables:
        np.greater(responses[:, feature[1]], threshold[1], out=right)  # all stand at the root
        np.add(right, 2, out=node)
        for _ in range(len(value).bit_length() - 2):
            # "clip" only spares NumPy a copy: loading has checked that nothing is out of range.
            feature.take(node, out=place, mode="clip")
            np.add(place, rows, out=place)
            flat.take(place, out=response, mode="clip")
            threshold.take(node, out=limit, mode="clip")
            np.greater(response, limit, out=right)
            np.add(node, node, out=node)
            np.add(node, right, out=node)
        node -= len(value)
        value.take(node, axis=0, out=leaf, mode="clip")
        total += leaf
    return total


def grow_trees(
    responses: Responses,
    phases: npt.NDArray[np.uint8],
    *,
    trees: int,
    features_per_node: int,
    depth: int,
    min_leaf: int,
    seed: int,
) -> Trees:
    """Grow a random forest (Breiman 2001, doi 10.1023/A:1010933404324).

    Parameters
    ----------
    responses : ndarray of uint8, shape (N, F)
        One row per training pixel.
    phases : ndarray of uint8, shape (N,)
        Their phases, 0, 1 or 2.
    trees, features_per_node, depth, min_leaf, seed : int
        See `ForestRecipe`.
    """
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        n_estimators=trees,
        max_features=min(features_per_node, responses.shape[1]),
        max_depth=depth,
        min_samples_leaf=min_leaf,
        random_state=seed,
        n_jobs=-1,
    )
    forest.fit(responses, phases)
    tables = [_lay_out(tree.tree_, depth, forest.classes_) for tree in forest.estimators_]
    feature, threshold, value = (np.stack(parts) for parts in zip(*tables, strict=True))
    return Trees(feature, threshold, value)


def _lay_out(tree: Any, depth: int, classes: npt.NDArray[np.uint8]) -> tuple[Any, ...]:
    """Lay a tree of scikit-learn out as a complete tree."""
    feature, threshold = np.zeros((2, 2**depth), np.uint8)
    threshold[:] = 255
    nodes = np.zeros(1, np.intp)
    for level in range(depth):
        here = slice(2**level, 2 ** (level + 1))
        inner = tree.children_left[nodes] >= 0
        feature[here] = np.where(inner, tree.feature[nodes], 0)
        # Thresholds lie between two whole numbers: "above 7.5" is "above 7".
        threshold[here] = np.where(inner, np.floor(tree.threshold[nodes]), 255)
        left = np.where(inner, tree.children_left[nodes], nodes)
        right = np.where(inner, tree.children_right[nodes], nodes)
        nodes = np.stack([left, right], axis=1).ravel()
    value = np.zeros((2**depth, 3), np.float16)
    shares = tree.value[nodes, 0]
    value[:, classes] = shares / shares.sum(axis=1, keepdims=True)
    return feature, threshold, value


@dataclass(frozen=True)
class Forest:
    """A trained forest.

    Parameters
    ----------
    recipe : ForestRecipe
        How it was grown.
    low, high : ndarray of float32, shape (F,)
        The responses that become step 0 and step 255.
    trees : Trees
        The trees.
    prior : ndarray of float32, shape (3,)
        Weights of clay, silt and pore against the equal shares of the training pixels.
    """

    recipe: ForestRecipe
    low: Floats
    high: Floats
    trees: Trees
    prior: Floats

    def predict(self, grey: Grey, threads: int | None = None) -> Floats:
        """Return the probability of each phase at each pixel.

        Parameters
        ----------
        grey : ndarray of uint8, shape (H, W)
            Grey levels at the recipe's pixel size.
        threads : int, optional
            All cores by default.

        Returns
        -------
        ndarray of float32, shape (H, W, 3)
            Clay, silt, pore; they add up to 1.
        """
        height, width = grey.shape
        reach = find_reach(self.recipe.scales)
        count = reach * max(1, _BAND_PIXELS // width // reach)
        found = np.empty((height, width, len(_PHASES)), np.float32)
        for top in range(0, height, count):
            own = found[top : top + count]
            start = max(0, top - reach)
            rows = slice(top - start, top - start + len(own))
            responses = self._compute_steps(grey[start : top + count + reach], rows)
            own[:] = self.trees.predict(responses, self.prior, threads).reshape(own.shape)
        return found

    def _compute_steps(self, grey: Grey, rows: slice) -> Responses:
        """Return the responses of some rows in 256 steps, shape (pixels, F)."""
        steps = np.empty((rows.stop - rows.start, grey.shape[1], len(self.low)), np.uint8)
        for column, response in enumerate(compute_responses(grey, self.recipe.scales)):
            inner = response[rows]
            steps[..., column] = to_steps(inner, self.low[column], self.high[column])
        return steps.reshape(-1, len(self.low))

    def save(self, folder: Path) -> None:
        """Write ``recipe.toml`` and ``weights.npz`` into a model folder.

        Raises
        ------
        MudrockError
            If they cannot be written.
        """
        arrays: dict[str, Any] = {
            "low": self.low,
            "high": self.high,
            "prior": self.prior,
            "feature": self.trees.feature,
            "threshold": self.trees.threshold,
            "value": self.trees.value,
        }
        with atomic_write(folder / _WEIGHTS) as part, part.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        with atomic_write(folder / _RECIPE) as part:
            part.write_text(self.recipe.to_toml(), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model folder; arrays only, each checked before it is used.

        Raises
        ------
        MudrockError
            If a file is missing or damaged, or the arrays do not belong to the recipe.
        """
        source = folder / _RECIPE
        recipe = ForestRecipe.from_toml(read_text(source), str(source))
        path = folder / _WEIGHTS
        shapes = _describe_arrays(recipe)
        try:
            arrays = read_named_arrays(path)
        except MudrockError as error:
            raise MudrockError(error.message, _AGAIN) from error
        missing = sorted(set(shapes) - set(arrays))
        if missing:
            raise MudrockError(f"{path}: no arrays of a forest ({missing[0]} is missing)", _AGAIN)
        for name, (shape, kind) in shapes.items():
            array = arrays[name]
            if array.shape != shape or array.dtype != kind:
                raise MudrockError(
                    f"{path}: {name} is {array.dtype} {array.shape}, the recipe makes it "
                    f"{kind} {shape}",
                    _AGAIN,
                )
        _check_values(arrays, path)
        trees = Trees(arrays["feature"], arrays["threshold"], arrays["value"])
        return cls(recipe, arrays["low"], arrays["high"], trees, arrays["prior"])


def _describe_arrays(recipe: ForestRecipe) -> dict[str, tuple[tuple[int, ...], npt.DTypeLike]]:
    count, leaves = len(name_responses(recipe.scales)), 2**recipe.depth
    return {
        "low": ((count,), np.dtype(np.float32)),
        "high": ((count,), np.dtype(np.float32)),
        "prior": ((3,), np.dtype(np.float32)),
        "feature": ((recipe.trees, leaves), np.dtype(np.uint8)),
        "threshold": ((recipe.trees, leaves), np.dtype(np.uint8)),
        "value": ((recipe.trees, leaves, 3), np.dtype(np.float16)),
    }


def _check_values(arrays: dict[str, npt.NDArray[Any]], path: Path) -> None:
    finite = all(np.isfinite(arrays[name]).all() for name in ("low", "high", "prior", "value"))
    ordered = finite and (arrays["low"] < arrays["high"]).all()
    positive = finite and (arrays["prior"] > 0).all() and (arrays["value"] >= 0).all()
    known = arrays["feature"].max() < len(arrays["low"])
    if not (ordered and positive and known and (arrays["value"].sum(axis=2) > 0.9).all()):
        raise MudrockError(f"{path}: holds numbers that no forest has", _AGAIN)


def to_steps(response: Floats, low: np.float32, high: np.float32) -> Responses:
    """Bring responses to 256 steps; what lies outside goes to the first or last."""
    gain = 255 / (float(high) - float(low))
    scaled = cv2.addWeighted(response, gain, response, 0, -float(low) * gain, dtype=cv2.CV_8U)
    return np.asarray(scaled, np.uint8).reshape(response.shape)


def train_forest(images: Sequence[Grey], labels: Sequence[Grey], recipe: ForestRecipe) -> Forest:
    """Grow a forest from labelled images.

    Parameters
    ----------
    images : sequence of ndarray of uint8, shape (H, W)
        Grey levels at the recipe's pixel size.
    labels : sequence of ndarray of uint8, shape (H, W)
        Phases 0, 1, 2; 255 where nothing is known: whole masks, or a few strokes of the brush.
    recipe : ForestRecipe
        How to grow it.

    Raises
    ------
    MudrockError
        If sizes differ, a label is no phase, or fewer than two phases are labelled.
    """
    rng = np.random.default_rng(recipe.seed)
    counts = np.array([_count_phases(*pair) for pair in zip(images, labels, strict=True)])
    totals = counts.sum(axis=0)
    if np.count_nonzero(totals) < 2:
        raise MudrockError(
            "fewer than two phases are labelled", "label some pixels of clay, silt and pore"
        )
    drawn = np.stack(
        [
            rng.multivariate_hypergeometric(column, min(recipe.pixels_per_phase, column.sum()))
            for column in counts.T
        ],
        axis=1,
    )
    parts, phases = [], []
    for image, label, numbers in zip(images, labels, drawn, strict=True):
        places = [
            rng.choice(np.flatnonzero(label == phase), number, replace=False)
            for phase, number in zip(_PHASES, numbers, strict=True)
        ]
        chosen = np.concatenate(places)
        responses = compute_responses(image, recipe.scales)
        parts.append(np.stack([response.ravel()[chosen] for response in responses], axis=1))
        phases.append(np.repeat(np.array(_PHASES, np.uint8), numbers))
    samples = _vary(np.concatenate(parts), recipe, rng)
    low, high = np.quantile(samples, [_TAIL, 1 - _TAIL], axis=0).astype(np.float32)
    high = np.maximum(high, low + np.float32(1e-3))
    steps = np.stack(
        [to_steps(np.ascontiguousarray(c), low[i], high[i]) for i, c in enumerate(samples.T)],
        axis=1,
    )
    trees = grow_trees(
        steps,
        np.concatenate(phases),
        trees=recipe.trees,
        features_per_node=recipe.features_per_node,
        depth=recipe.depth,
        min_leaf=recipe.min_leaf,
        seed=recipe.seed,
    )
    pixels = sum(image.size for image in images)
    prior = _weigh(totals, drawn.sum(axis=0), recipe.prior if 2 * totals.sum() > pixels else 0.0)
    return Forest(recipe, low, high, trees, prior)


def _count_phases(image: Grey, label: Grey) -> npt.NDArray[np.int64]:
    if image.shape != label.shape:
        raise MudrockError(
            f"an image of {image.shape} does not belong to a label of {label.shape}",
            "label the image at its own size",
        )
    counts = np.bincount(label.ravel(), minlength=256)
    if counts[3:255].any():
        raise MudrockError("a label holds values that are no phase", "labels hold 0, 1, 2 and 255")
    return counts[list(_PHASES)]


def _vary(samples: Floats, recipe: ForestRecipe, rng: np.random.Generator) -> Floats:
    """Change brightness and contrast around each sample; the filters are linear, so exactly so."""
    gain = np.exp(rng.normal(0, recipe.contrast, len(samples))).astype(np.float32)
    shift = rng.normal(0, recipe.brightness, len(samples)).astype(np.float32)
    levels = find_levels(recipe.scales)
    return np.asarray(samples * gain[:, None] + shift[:, None] * levels, np.float32)


def _weigh(totals: npt.NDArray[np.int64], drawn: npt.NDArray[np.int64], strength: float) -> Floats:
    """Return by how much more frequent each phase is than among the training pixels."""
    frequency = np.maximum(totals, 1) / totals.sum()
    share = np.maximum(drawn, 1) / drawn.sum()
    equal = 1 / (3 * share)  # undoes unequal shares, where a phase has too few pixels
    weights = equal ** (1 - strength) * (frequency / share) ** strength
    return np.asarray(weights / weights.sum(), np.float32)
