"""Decision trees as rectangular tables of numbers, grown by scikit-learn and run by NumPy.

A tree of depth D is a complete binary tree: the root is node 1, node n has the children 2n and
2n + 1, and the nodes from 2^D on are its leaves. A branch that ended early goes on with nodes that
always lead left. So a tree needs no pointers, a file of trees can hold nothing but numbers, and
every pixel takes the same D steps, which NumPy does for thousands at once.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Responses = npt.NDArray[np.uint8]
"""Filter responses in 256 steps, shape (pixels, features)."""

_CHUNK = 16384  # pixels at once: their responses and places fit a core's cache
_ENOUGH, _LEAD = 25, 0.4  # trees, and lead in probability, after which a phase is settled

_Table = tuple[npt.NDArray[np.intp], npt.NDArray[np.uint8], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Trees:
    """T trees of depth D over F features.

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
        tables: list[_Table] = [
            (feature.astype(np.intp), threshold, value.astype(np.float32) * prior)
            for feature, threshold, value in zip(
                self.feature, self.threshold, self.value, strict=True
            )
        ]

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


def _descend(responses: Responses, tables: Sequence[_Table]) -> npt.NDArray[np.float32]:
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
        See :class:`~mudrock_cli.classical.forest_recipe.ForestRecipe`.
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
