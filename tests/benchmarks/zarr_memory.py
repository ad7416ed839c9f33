"""Memory and time of an OME-Zarr mask of a mosaic: written, measured, exported, by bands.

    python tests/benchmarks/zarr_memory.py FOLDER [SIDE ...]

A line per side and step, each in a process of its own: pixels, CPU seconds, peak memory.
"""

import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

STEPS = ("start", "write", "read", "export")


def make_bands(side: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield bands of 512 rows of pores and grains that go on over seams."""
    row, column = np.mgrid[:512, :512] * (2 * np.pi / 512)
    waves = np.sin(8 * row) * np.sin(9 * column) + np.sin(7 * row + 3 * column) / 2
    tile = np.where(waves > 1, 2, np.where(waves < -0.7, 1, 0)).astype(np.uint8)
    band = np.tile(tile, (1, -(-side // 512)))[:, :side]
    for top in range(0, side, 512):
        yield band[: min(512, side - top)]


def run(step: str, folder: Path, side: int) -> None:
    """Do one step and print what it took."""
    from mudrock_cli.image.mask import create_mask, open_mask
    from mudrock_cli.image.ome_zarr import write_instances
    from mudrock_cli.image.types import PixelSize
    from mudrock_cli.measure.components import label_mask

    start = time.process_time()
    path = folder / f"{side}.zarr"
    if step == "write":
        size = PixelSize(10.0, "benchmark")
        with create_mask(path, (side, side), size, {"software": "mudrock"}) as writer:
            for band in make_bands(side):
                writer.write_rows(band)
    elif step == "read":
        mask = open_mask(path)
        for top in range(0, side, 512):
            mask.read(slice(top, top + 512), slice(None))
    elif step == "export":
        mask = open_mask(path)
        found = label_mask(mask)
        place = folder / f"{side}.instances.zarr"
        bands = found.paint(mask)
        write_instances(place, mask.shape, found.label_type, bands, mask.pixel_size, {})
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"{side:>6} {side * side:.1e} px {step:>7} {seconds:6.1f} s {peak:5.0f} MB", flush=True)


def main() -> None:
    """Run all steps on all sides."""
    folder, *rest = sys.argv[1:]
    if rest and rest[0] in STEPS:
        run(rest[0], Path(folder), int(rest[1]))
        return
    for side in map(int, rest or ["2000", "20000"]):
        for step in STEPS:
            words = [sys.executable, __file__, folder, step, str(side)]
            subprocess.run(words, check=True)
        for made in Path(folder).glob(f"{side}.*"):
            shutil.rmtree(made)


if __name__ == "__main__":
    main()
