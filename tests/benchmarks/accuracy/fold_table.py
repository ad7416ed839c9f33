"""The fold table of the shipped model, again, from the stored masks of micrographs held out.

Run from the checkout: python tests/benchmarks/accuracy/fold_table.py
It reads `../shared/data/kumano`, a folder beside the checkout, and the masks in `held-out/`, each
made by a network that was not trained on that micrograph. It trains nothing, prints ours beside
the predictions that the authors published, and fails where the model's card says something else.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from mudrock_cli.deeplab.weights import start_backend  # noqa: E402

start_backend()  # without its notices

from mudrock_cli.cross_validation import score_confusion  # noqa: E402
from mudrock_cli.deeplab.dataset import Sample, load_samples  # noqa: E402
from mudrock_cli.deeplab.recipe import load_recipe  # noqa: E402
from mudrock_cli.image.mask import open_mask  # noqa: E402
from mudrock_cli.measure.scores import count_confusion  # noqa: E402

KUMANO = ROOT / ".." / "shared" / "data" / "kumano"
MASKS = Path(__file__).parent / "held-out"
CARD = ROOT / "models" / "kumano" / "card.json"
FIGURES = ("pixel_accuracy", "iou_clay", "iou_silt", "iou_pore")
Counts = npt.NDArray[np.int64]


def count(folder: Path, suffix: str, sample: Sample) -> Counts:
    """Count distinct pixels of a stored mask by registered label (row) and phase (column)."""
    assert sample.frame is not None
    read = sample.frame.deduplicated.choose(open_mask(folder / f"{sample.name}{suffix}").read)
    return count_confusion(sample.labels, read(slice(None), slice(None)))[:, :3]


def score(counts: Counts) -> list[float]:
    return [score_confusion(counts)[figure] or 0.0 for figure in FIGURES]


def show(name: str, *rows: Sequence[float]) -> None:
    print(f"{name:12s}", *(" ".join(f"{value:.3f}" for value in row) + "  " for row in rows))


def main() -> int:
    samples = load_samples(KUMANO, load_recipe("fast", []).data).samples
    card = json.loads(CARD.read_text("utf-8"))
    told = {row["name"]: row for row in card["judged"]["images"]}
    print(f"{'':12s} ours: accuracy, clay, silt, pore; the authors' the same")
    counts: tuple[list[Counts], list[Counts]] = [], []
    wrong = []
    for sample in samples:
        both = count(MASKS, ".tif", sample), count(KUMANO / "authors", ".png", sample)
        for found, one in zip(counts, both, strict=True):
            found.append(one)
        show(sample.name, *map(score, both))
        expected = [told[sample.name][figure] for figure in FIGURES]
        if not np.allclose(score(both[0]), expected, rtol=0, atol=5e-4):
            wrong.append(sample.name)
    show("mean", *(np.mean([score(one) for one in found], axis=0) for found in counts))
    show("pooled", *(score(sum(found, np.zeros((3, 3), np.int64))) for found in counts))
    if wrong:
        print(f"models/kumano/card.json says otherwise of {', '.join(wrong)}", file=sys.stderr)
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
