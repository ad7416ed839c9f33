"""What contrast does to the masks of the shipped network, with and without normalised grey.

Run from the checkout: python tests/benchmarks/accuracy/contrast.py [NAME...]
It reads `../shared/data/kumano`, a folder beside the checkout, on which the network was trained (so
only differences tell), and `examples/`, which it never saw. Without the classical prior.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from mudrock_cli.deeplab.dataset import load_samples  # noqa: E402
from mudrock_cli.deeplab.engine import Engine  # noqa: E402
from mudrock_cli.deeplab.model import load_model  # noqa: E402
from mudrock_cli.deeplab.recipe import Recipe  # noqa: E402
from mudrock_cli.image.mask import open_mask  # noqa: E402
from mudrock_cli.image.micrograph import Micrograph, open_micrograph  # noqa: E402
from mudrock_cli.image.types import Phase  # noqa: E402
from mudrock_cli.segmentation import open_engine, segment_bands  # noqa: E402

KUMANO = ROOT / ".." / "shared" / "data" / "kumano"
GAIN, OFFSET = 0.3, 90
Grey = npt.NDArray[np.uint8]


def predict(micrograph: Micrograph, engine: Engine, recipe: Recipe) -> Grey:
    return np.concatenate(
        [band.phases for band in segment_bands(micrograph, recipe, lambda: engine)]
    )


def change(micrograph: Micrograph) -> Micrograph:
    """Return the specimen with other grey levels."""
    grey = micrograph.read_specimen()(slice(None), slice(None)).astype(float)
    changed = np.clip(np.rint(GAIN * grey + OFFSET), 0, 255).astype(np.uint8)
    return Micrograph.from_array(micrograph.name, changed, micrograph.pixel_size)


def main(names: list[str]) -> None:
    model = load_model()
    engine, alone = open_engine(model), replace(model.recipe.inference, workflow=(0.0,) * 4)
    pairs = [
        (sample.micrograph(model.nm_per_pixel), sample.labels)
        for sample in load_samples(KUMANO, model.recipe.data).samples
    ]
    for path in sorted((ROOT / "examples").glob("*.tif")):
        micrograph = open_micrograph(path)
        truth = open_mask(path.parent / "truth" / path.name).read(slice(None), slice(None))
        box = micrograph.specimen
        pairs.append((micrograph, truth[box.rows, box.columns]))
    print("micrograph  normalised  accuracy  with other contrast  pixels that stay")
    for micrograph, truth in pairs:
        if names and micrograph.name not in names:
            continue
        box, known = micrograph.specimen, truth != Phase.VOID
        for normalise in (False, True):
            data = replace(model.recipe.data, normalise=normalise)
            recipe = replace(model.recipe, data=data, inference=alone)
            plain = predict(micrograph, engine, recipe)[box.rows, box.columns]
            changed = predict(change(micrograph), engine, recipe)
            scores = [(mask == truth)[known].mean() for mask in (plain, changed)]
            figures = "  ".join(f"{value:.3f}" for value in (*scores, (plain == changed).mean()))
            print(f"{micrograph.name:10s}  {normalise!s:5s}  {figures}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
