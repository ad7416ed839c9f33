"""What a network did on samples that were held out: counts, and logits to calibrate by."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.campaign.calibration import Calibration, calibrate, gather_logits
from mudrock_cli.deeplab.campaign.judging import NetworkEngine, count_by_sample
from mudrock_cli.deeplab.data.dataset import Sample
from mudrock_cli.deeplab.data.split import Split
from mudrock_cli.deeplab.inference.engine import Engine
from mudrock_cli.deeplab.inference.opinion import Ask
from mudrock_cli.deeplab.network.weights import Arrays, write_arrays
from mudrock_cli.deeplab.recipes.recipe import Recipe
from mudrock_cli.deeplab.training.phase_scores import PHASES, score_counts
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.named_arrays import read_named_arrays


@dataclass(frozen=True)
class Findings:
    """Held-out samples, judged.

    Parameters
    ----------
    names, parts : tuple of str
        Of each sample.
    counts : ndarray of int, shape (samples, 2, 3, 3)
        See `count_by_sample`.
    logits : ndarray of float32, shape (n, 3)
        Of random pixels of the samples that may calibrate.
    labels : ndarray of uint8, shape (n,)
        Of the same pixels.
    """

    names: tuple[str, ...]
    parts: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8]

    def calibrate(self) -> Calibration | None:
        """Return the temperature for these pixels, None where there are none."""
        if not len(self.labels):
            return None
        return calibrate(self.logits.astype(float), self.labels.astype(np.intp))

    def facts(self, on: str) -> dict[str, Any]:
        """Return what the card tells of them; `on` says what they are.

        The pooled figures are those of the test part, where there is one.
        """
        if not self.names:
            return {}
        rows = []
        for name, part, (counts, as_given) in zip(self.names, self.parts, self.counts, strict=True):
            row: dict[str, Any] = {"name": name, "part": part, **score_counts(counts)}
            if (as_given != counts).any():
                row["as_given"] = score_counts(as_given)
            rows.append(row)
        chosen = np.array([part == "test" for part in self.parts])
        chosen = chosen if chosen.any() else ~chosen
        pooled = score_counts(self.counts[chosen, 0].sum(axis=0))
        iou = {phase.name.lower(): pooled[f"iou_{phase.name.lower()}"] for phase in PHASES}
        return {
            "iou": {phase: value for phase, value in iou.items() if value is not None},
            "pixel_accuracy": pooled["pixel_accuracy"],
            "judged": {"on": on, "images": rows},
        }


def judge_engine(
    engine: Engine,
    samples: Sequence[Sample],
    split: Split,
    recipe: Recipe,
    ask: Ask = lambda micrograph: None,
    keep: Path | None = None,
) -> Findings:
    """Segment every sample that was held out.

    Parameters
    ----------
    engine : Engine
        Of a model trained on the split's training part.
    samples : sequence of Sample
        All.
    split : Split
        Their parts.
    recipe : Recipe
        How to predict.
    ask, keep
        See `count_by_sample`.
    """
    held = [sample for sample in samples if split.part[sample.name] != "train"]
    empty = pool_findings([])
    if not held:
        return empty
    return dataclasses.replace(
        empty,
        names=tuple(sample.name for sample in held),
        parts=tuple(split.part[sample.name] for sample in held),
        counts=np.stack(count_by_sample(engine, held, recipe, ask, keep)),
    )


def judge_network(
    network: keras.Model,
    samples: Sequence[Sample],
    split: Split,
    recipe: Recipe,
    ask: Ask = lambda micrograph: None,
    keep: Path | None = None,
) -> Findings:
    """Segment every sample that was held out, and gather pixels to calibrate by.

    Those come from the validation part, so that the test part judges what it did not shape; from
    the test part where nothing validates.

    Parameters
    ----------
    network : keras.Model
        Trained on the split's training part; for the recipe's inference tile.
    samples, split, recipe, ask, keep
        See `judge_engine`.
    """
    found = judge_engine(NetworkEngine(network), samples, split, recipe, ask, keep)
    fitting = split.choose(samples, "validation") or split.choose(samples, "test")
    if not fitting:
        return found
    logits, labels = gather_logits(network, fitting, recipe)
    return dataclasses.replace(
        found, logits=logits.astype(np.float32), labels=labels.astype(np.uint8)
    )


def pool_findings(found: Sequence[Findings]) -> Findings:
    """Put the findings of folds together; of none, return empty ones."""
    empty = Findings(
        (),
        (),
        np.zeros((0, 2, 3, 3), np.int64),
        np.zeros((0, 3), np.float32),
        np.zeros(0, np.uint8),
    )
    return Findings(
        names=sum((one.names for one in found), ()),
        parts=sum((one.parts for one in found), ()),
        counts=np.concatenate([empty.counts, *(one.counts for one in found)]),
        logits=np.concatenate([empty.logits, *(one.logits for one in found)]),
        labels=np.concatenate([empty.labels, *(one.labels for one in found)]),
    )


def save_findings(path: Path, found: Findings) -> None:
    """Keep the findings of a fold, so that a resumed campaign need not judge again."""
    names = np.frombuffer(json.dumps([found.names, found.parts]).encode(), np.uint8)
    arrays: Arrays = {"counts": found.counts, "logits": found.logits, "labels": found.labels}
    write_arrays(path, arrays | {"names": names}, compressed=True)


def load_findings(path: Path) -> Findings:
    """Read what `save_findings` wrote.

    Raises
    ------
    MudrockError
        If the file is damaged.
    """
    arrays = read_named_arrays(path)
    try:
        names, parts = json.loads(bytes(arrays["names"].tobytes()))
        counts, logits, labels = (arrays[name] for name in ("counts", "logits", "labels"))
    except (KeyError, ValueError) as error:
        raise MudrockError(f"{path}: no findings of a fold", "remove it to judge again") from error
    return Findings(tuple(names), tuple(parts), counts, logits, labels)
