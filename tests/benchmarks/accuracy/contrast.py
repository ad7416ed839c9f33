"""How far masks of the shipped model depend on contrast, brightness and which side is left.

Run from the checkout: python tests/benchmarks/accuracy/contrast.py [NAME...]
It reads `../shared/data/kumano`, a folder beside the checkout, and `examples/`. Prints the share of
pixels that keep their phase, of the network alone and with the classical prior; "16 bit" are those
of the picture written in 16 bit, at the least gain against as it is.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from mudrock_cli.deeplab.dataset import load_samples  # noqa: E402
from mudrock_cli.deeplab.engine import Engine  # noqa: E402
from mudrock_cli.deeplab.model import load_model  # noqa: E402
from mudrock_cli.deeplab.recipe import Recipe  # noqa: E402
from mudrock_cli.image.micrograph import Micrograph, open_micrograph  # noqa: E402
from mudrock_cli.segmentation import open_engine, segment_bands  # noqa: E402

KUMANO = ROOT / ".." / "shared" / "data" / "kumano"
GAINS = (0.3, 0.6, 2.0)  # about the median, which becomes 128
Grey = npt.NDArray[np.uint8]


def predict(micrograph: Micrograph, engine: Engine, recipe: Recipe) -> Grey:
    return np.concatenate(
        [band.phases for band in segment_bands(micrograph, recipe, lambda: engine)]
    )


def change(micrograph: Micrograph, gain: float) -> Micrograph:
    """Return the specimen with other grey levels."""
    grey = micrograph.read_specimen()(slice(None), slice(None)).astype(float)
    changed = np.clip(np.rint(gain * (grey - np.median(grey)) + 128), 0, 255).astype(np.uint8)
    return Micrograph.from_array(micrograph.name, changed, micrograph.pixel_size)


def deepen(micrograph: Micrograph, gain: float, folder: Path) -> Micrograph:
    """Return the specimen as a file of 16 bit, about the median."""
    grey = micrograph.read_specimen()(slice(None), slice(None)).astype(float)
    levels = 256 * (gain * (grey - np.median(grey)) + 128)
    path = folder / f"{micrograph.name}.tif"
    tifffile.imwrite(path, np.clip(np.rint(levels), 0, 65535).astype(np.uint16))
    return open_micrograph(path, pixel_size=micrograph.pixel_size)


def mirror(micrograph: Micrograph) -> Micrograph:
    """Return the specimen with left and right changed over."""
    grey = micrograph.read_specimen()(slice(None), slice(None))
    return Micrograph.from_array(
        micrograph.name, np.ascontiguousarray(grey[:, ::-1]), micrograph.pixel_size
    )


def main(names: list[str]) -> None:
    model = load_model()
    engine = open_engine(model)
    without = replace(model.recipe.inference, workflow=(0.0,) * 4)
    recipes = {"alone": replace(model.recipe, inference=without), "with prior": model.recipe}
    micrographs = [
        sample.micrograph(model.nm_per_pixel)
        for sample in load_samples(KUMANO, model.recipe.data).samples
    ]
    micrographs += [open_micrograph(path) for path in sorted((ROOT / "examples").glob("*.tif"))]
    told = "  ".join(f"gain {gain:g}" for gain in GAINS)
    print(f"{'micrograph':11s} {'':10s}  {told}  mirrored  16 bit")
    for micrograph in micrographs:
        if names and micrograph.name not in names:
            continue
        box = micrograph.specimen
        for name, recipe in recipes.items():
            plain = predict(micrograph, engine, recipe)[box.rows, box.columns]
            found = [predict(change(micrograph, gain), engine, recipe) for gain in GAINS]
            found.append(predict(mirror(micrograph), engine, recipe)[:, ::-1])
            same = [(mask == plain).mean() for mask in found]
            with tempfile.TemporaryDirectory() as folder:
                deep, less = (
                    predict(deepen(micrograph, gain, Path(folder)), engine, recipe)
                    for gain in (1.0, min(GAINS))
                )
            same.append((deep == less).mean())
            shares = "     ".join(f"{share:.3f}" for share in same)
            print(f"{micrograph.name:11s} {name:10s}  {shares}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
