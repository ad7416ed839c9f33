"""How much more of its errors a model makes in the tiles that are proposed than in all tiles.

Run from the checkout: python tests/benchmarks/proposal_accuracy.py [MODEL IMAGE LABEL]...
Each model on a micrograph that it never saw, and its label; without arguments the model that ships
on the examples.
"""

import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from mudrock_cli.deeplab.model import load_model  # noqa: E402
from mudrock_cli.image.mask import open_mask  # noqa: E402
from mudrock_cli.image.micrograph import open_micrograph  # noqa: E402
from mudrock_cli.image.types import Phase  # noqa: E402
from mudrock_cli.proposal import Tile, cover, propose_tiles  # noqa: E402

Bytes = npt.NDArray[np.uint8]
SIDE = 384


def count_errors(tiles: Iterable[Tile], found: Bytes, truth: Bytes) -> tuple[float, float]:
    """Return the mean shares of wrong pixels, and of those wrong about silt, %."""
    rows = []
    for tile in tiles:
        mask, label = (phases[tile.box.rows, tile.box.columns] for phases in (found, truth))
        known = label != Phase.VOID
        silt = (mask == Phase.SILT) != (label == Phase.SILT)
        rows.append([(mask != label)[known].mean(), silt[known].mean()])
    wrong, wrong_silt = 100 * np.mean(rows, axis=0)
    return wrong, wrong_silt


def main() -> None:
    words = sys.argv[1:]
    if not words:
        examples = sorted((ROOT / "examples").glob("*.tif"))
        words = [w for p in examples for w in ("kumano", str(p), str(p.parent / "truth" / p.name))]
    headings = ("all tiles", *(f"{count} proposed" for count in (2, 4, 6)))
    print(f"pixels wrong, and wrong about silt, %; tiles of {SIDE} pixels")
    print(" " * 14 + "".join(f"{heading:>14s}" for heading in headings))
    for reference, image, label in zip(words[::3], words[1::3], words[2::3], strict=True):
        model, truth = load_model(reference), open_mask(Path(label)).phases()
        with tempfile.TemporaryDirectory() as folder:
            micrograph = open_micrograph(Path(image))
            covered = cover("a", micrograph, model, SIDE, Path(folder) / "mask.tif")
            found = covered.mask.phases()
        chosen = [[p.tile for p in propose_tiles([covered], count)] for count in (2, 4, 6)]
        cells = [count_errors(tiles, found, truth) for tiles in (covered.tiles, *chosen)]
        shown = "".join(f"{wrong:8.1f}{silt:6.1f}" for wrong, silt in cells)
        print(f"{Path(image).stem:14s}{shown}", flush=True)


if __name__ == "__main__":
    main()
