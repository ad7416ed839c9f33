"""What the shipped model says of other rocks and materials: whether it marks them, and their masks.

Run from the checkout: python tests/benchmarks/accuracy/other_rocks.py
It reads `../shared/data`, a folder beside the checkout. Of each group it prints how far the
micrographs lie from those of the training, against the limit from which on they are marked; of the
Duvernay shale, whose labels tell grain from everything else, also what becomes of either.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from mudrock_cli.deeplab.model import load_model  # noqa: E402
from mudrock_cli.deeplab.training_range import (  # noqa: E402
    RANGE,
    FeatureDistribution,
    Features,
    encode_appearance,
)
from mudrock_cli.image.micrograph import Micrograph, open_micrograph  # noqa: E402
from mudrock_cli.image.resample import deduplicate  # noqa: E402
from mudrock_cli.image.types import PixelSize  # noqa: E402
from mudrock_cli.segmentation import open_engine, segment_mask  # noqa: E402

DATA = ROOT / ".." / "shared" / "data"
FIELD = (3430, 4000)  # nm, the smallest training micrographs
STRIP_NM = 7.8  # if a field is 20 µm wide


def cut(micrograph: Micrograph) -> list[Micrograph]:
    """Return pieces of the size of the smallest training micrographs."""
    assert micrograph.pixel_size is not None
    grey = micrograph.read_specimen()(slice(None), slice(None))
    height, width = (int(side / micrograph.pixel_size.nm) for side in FIELD)
    return [
        Micrograph.from_array(
            "tile",
            np.ascontiguousarray(grey[top : top + height, left : left + width]),
            micrograph.pixel_size,
        )
        for top in range(0, grey.shape[0] - height + 1, height)
        for left in range(0, grey.shape[1] - width + 1, width)
    ]


def main() -> None:
    model = load_model()

    def encode(micrograph: Micrograph) -> Features:
        return encode_appearance(deduplicate(micrograph).micrograph, model.nm_per_pixel)

    def show(name: str, distances: list[float], limit: float) -> None:
        marked = sum(distance > limit for distance in distances)
        low, high = min(distances), max(distances)
        print(f"{name:34s} {low:5.2f} to {high:5.2f} of {limit:.2f}: {marked} of {len(distances)}")

    paths = sorted((DATA / "kumano" / "images").glob("*.tif"))
    known = {path.stem: open_micrograph(path) for path in paths}
    windows = {name: [encode(micrograph)] for name, micrograph in known.items()}
    print("distance from the training micrographs, of the limit: marked")
    for name, micrograph in known.items():
        others = FeatureDistribution.gather({n: w for n, w in windows.items() if n != name})
        limit = others.find_limit() or np.inf
        show(f"{name}, held out", [others.measure_distance(windows[name][0])], limit)
        tiles = [others.measure_distance(encode(tile)) for tile in cut(micrograph)]
        if len(tiles) > 1:
            show("  its tiles", tiles, limit)
    trained = FeatureDistribution.read(model.path / RANGE)
    limit = model.card["domain"]["distance"]["high"]
    size = PixelSize(STRIP_NM, "20 µm wide")
    groups = {
        "strips of the same basin": [
            open_micrograph(path, pixel_size=size)
            for path in sorted((DATA / "kumano_unlabelled").glob("*.png"))
        ],
        "Duvernay shale": [
            open_micrograph(path) for path in sorted((DATA / "duvernay" / "images").glob("*.png"))
        ],
        "files of vendors": [open_micrograph(p) for p in sorted((DATA / "vendor").glob("*.tif"))],
    }
    for name, micrographs in groups.items():
        distances = [trained.measure_distance(encode(seen)) for seen in micrographs]
        show(name, distances, limit)
        if name.startswith("strips"):
            tiles = [trained.measure_distance(encode(t)) for seen in micrographs for t in cut(seen)]
            show("  their tiles", tiles, limit)

    counts, engine = np.zeros((2, 3)), open_engine(model)
    for micrograph in groups["Duvernay shale"]:
        label = next((DATA / "duvernay" / "labels").glob(f"{micrograph.name}.*"))
        grain = np.asarray(Image.open(label))
        phases = segment_mask(micrograph, model, lambda: engine).phases()
        for truth in (0, 1):
            counts[truth] += np.bincount(phases[grain == truth], minlength=3)[:3]
    print("Duvernay, % called clay, silt, pore")
    for name, row in zip(("not grain", "grain"), counts, strict=True):
        print(f"{name:10s}", *(f"{100 * share:5.1f}" for share in row / row.sum()))


if __name__ == "__main__":
    main()
