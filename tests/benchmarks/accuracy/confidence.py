"""Whether confidences of `segment` mean what they say, on micrographs that were held out.

Run from the checkout: python tests/benchmarks/accuracy/confidence.py DATA MODEL... [--write]
Each MODEL is a folder of `mudrock train DATA --split SPLIT.csv`; what its split.csv holds out is
judged. The temperature of network and prior together is fitted on what the other models held out,
so that no micrograph shapes what judges it. Prints expected calibration errors of confidence maps
at the temperature of the shipped model, without and with it; with --write, the one fitted on all
of them goes onto the card of the shipped model.
"""

import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from mudrock_cli.deeplab.weights import start_backend  # noqa: E402

start_backend()  # without its notices

from mudrock_cli.cross_validation import HeldOutResults, gather_evidence  # noqa: E402
from mudrock_cli.deeplab.calibration import compare_confidence  # noqa: E402
from mudrock_cli.deeplab.dataset import Sample, load_samples  # noqa: E402
from mudrock_cli.deeplab.engine import KerasEngine  # noqa: E402
from mudrock_cli.deeplab.model import (  # noqa: E402
    TrainedModel,
    describe_model,
    load_model,
    seal_model,
)
from mudrock_cli.deeplab.network import build_network  # noqa: E402
from mudrock_cli.deeplab.split import read_split  # noqa: E402
from mudrock_cli.deeplab.weights import load_weights  # noqa: E402
from mudrock_cli.files import write_text  # noqa: E402
from mudrock_cli.image.types import Phase  # noqa: E402
from mudrock_cli.segmentation import segment_bands  # noqa: E402

Judged = tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]


class Fold:
    """A model, and what it was not trained on."""

    def __init__(self, model: TrainedModel, samples: tuple[Sample, ...]) -> None:
        self.recipe = model.recipe
        tile = self.recipe.inference.tile
        self.network = build_network(self.recipe.network, tile, tile)
        load_weights(self.network, model.weights)
        self.held = read_split(model.path / "split.csv", samples).choose(samples, "test")
        gathered = gather_evidence(self.network, self.held, self.recipe)
        self.pixels = HeldOutResults(logits=gathered[0], labels=gathered[1], evidence=gathered[2])

    def judge(self, sample: Sample, temperature: float, further: float) -> Judged:
        """Return the confidence map of a sample and where the mask is right, labelled pixels."""
        engine = KerasEngine(self.network, temperature)
        bands = list(
            segment_bands(
                sample.micrograph(self.recipe.data.nm_per_pixel),
                self.recipe,
                lambda: engine,
                temperature=temperature,
                confidence_temperature=further,
            )
        )
        labelled = sample.labels != Phase.VOID
        phases, confidence = (
            np.concatenate([getattr(band, name) for band in bands])[labelled]
            for name in ("phases", "confidence")
        )
        return confidence / 255, phases == sample.labels[labelled]


def main(data: Path, folders: list[Path], write: bool) -> None:
    shipped = load_model()
    samples = tuple(load_samples(data, shipped.recipe.data).samples)
    folds = [Fold(load_model(str(folder)), samples) for folder in folders]

    def fit(chosen: list[Fold]) -> float:
        found = HeldOutResults.pool([fold.pixels for fold in chosen])
        calibration = found.calibrate_confidence(shipped.temperature)
        assert calibration
        return calibration.temperature

    print(f"{'held out':11s} accuracy  error before  after  by")
    pixels: list[tuple[Judged, Judged]] = []
    errors: list[list[float]] = []

    def tell(name: str, before: Judged, after: Judged, by: str) -> None:
        errors.append([compare_confidence(*judged) for judged in (before, after)])
        found = " ".join(f"{error:.4f}" for error in errors[-1])
        print(f"{name:11s} {before[1].mean():8.3f}        {found}  {by}", flush=True)

    for fold in folds:
        further = fit([other for other in folds if other is not fold])
        for sample in fold.held:
            before = fold.judge(sample, shipped.temperature, 1.0)
            after = fold.judge(sample, shipped.temperature, further)
            assert np.array_equal(before[1], after[1])  # no phase changes
            pixels.append((before, after))
            tell(sample.name, before, after, f"{further:.3f}")
    means = np.mean(errors, axis=0)
    joined = [
        (np.concatenate([one[0] for one in judged]), np.concatenate([one[1] for one in judged]))
        for judged in zip(*pixels, strict=True)
    ]
    tell("pooled", *joined, "")
    print(f"mean of the micrographs: {means[0]:.4f} {means[1]:.4f}")
    pooled = HeldOutResults.pool([fold.pixels for fold in folds])
    found = pooled.calibrate_confidence(shipped.temperature)
    assert found
    print(f"fitted on all: {found}")
    if write:
        facts = {key: value for key, value in shipped.card.items() if key != "sha256"}
        facts["confidence_temperature"] = found.temperature
        facts["confidence_calibration"] = asdict(found)
        card = describe_model(shipped.name, shipped.recipe, facts)
        write_text(shipped.path / "card.md", card)
        seal_model(shipped.path, facts)


if __name__ == "__main__":
    given = [Path(word) for word in sys.argv[1:] if word != "--write"]
    main(given[0], given[1:], "--write" in sys.argv)
