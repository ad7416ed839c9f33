"""How far porosity and silt are from the truth, with outlines as in published labels and exact.

Run from the checkout: python tests/benchmarks/outlines_accuracy.py [PHANTOMS]
Phantoms of the seeds 0, 1, 2 … (12 unless told otherwise) and the examples, whose phases are known
exactly. The disc and the reach of exact outlines were chosen on the seeds 100 to 105.
"""

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from mudrock_cli.deeplab.weights import start_backend  # noqa: E402

start_backend()  # without its notices

from phantom import make_phantom  # noqa: E402

from mudrock_cli.classical.recipe import load_recipe  # noqa: E402
from mudrock_cli.classical.workflow import label_phases  # noqa: E402
from mudrock_cli.deeplab.model import load_model  # noqa: E402
from mudrock_cli.image.mask import open_mask  # noqa: E402
from mudrock_cli.image.micrograph import Micrograph, open_micrograph  # noqa: E402
from mudrock_cli.image.types import Phase  # noqa: E402
from mudrock_cli.segmentation import open_engine, segment_mask  # noqa: E402

Floats = npt.NDArray[np.float64]
NAMES = ("segment, labels", "segment, exact", "groundtruth, labels", "groundtruth, exact")


def fractions(phases: npt.NDArray[np.uint8]) -> Floats:
    """Return porosity and silt fraction of the specimen, %."""
    counts = np.bincount(phases.ravel(), minlength=256)
    return 100 * counts[[Phase.PORE, Phase.SILT]] / (counts.sum() - counts[Phase.VOID])


def measure(micrograph: Micrograph, truth: Floats) -> Floats:
    """Return the errors of porosity and silt (columns) by each of `NAMES` (rows), points."""
    model = load_model("kumano")
    engine = open_engine(model)
    mask = segment_mask(micrograph, model, lambda: engine, outlines="exact")
    before = mask.provenance["results"]["as_labels"]
    found = [100 * np.array([before["pore_fraction"], before["silt_fraction"]])]
    found.append(fractions(mask.phases()))
    found += [fractions(label_phases(micrograph, load_recipe(r))) for r in ("groundtruth", "exact")]
    return np.array(found) - truth


def show(name: str, errors: Floats) -> None:
    cells = "".join(f"{pore:+12.2f}{silt:+8.2f}" for pore, silt in errors)
    print(f"{name:14s}{cells}", flush=True)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    print("errors of porosity and silt, points\n" + " " * 14 + "".join(f"{n:>20s}" for n in NAMES))
    errors = []
    for seed in range(count):
        made = make_phantom(seed, (1200, 1400))
        micrograph = Micrograph.from_array(f"phantom {seed}", made.grey, made.pixel_size)
        errors.append(measure(micrograph, fractions(made.phases)))
        show(micrograph.name, errors[-1])
    if errors:
        show("mean", np.mean(errors, axis=0))
        show("median", np.median(errors, axis=0))
        show("median size", np.median(np.abs(errors), axis=0))
    for path in sorted((ROOT / "examples").glob("*.tif")):
        truth = fractions(open_mask(path.parent / "truth" / path.name).phases())
        show(path.stem, measure(open_micrograph(path), truth))


if __name__ == "__main__":
    main()
