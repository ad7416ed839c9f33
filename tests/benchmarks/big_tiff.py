"""Masks beyond four gigabytes as real files: written by bands, read back by windows, compared.

    python tests/benchmarks/big_tiff.py FOLDER [SIDE]

`rock` repeats a drawn tile, whose pixels take over 4 GB and whose file far less; `noise` is drawn
at random and stored without compression, so that the file itself passes 4 GB, and its offsets 32
bits. A line per mask and step, each in a process of its own: pixels, seconds of the clock and of
the processor, peak memory, size of the file. 70 000 pixels a side need 10 GB of disk.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile

ROWS = 512
WINDOWS = 200
Phases = npt.NDArray[np.uint8]


def draw_band(kind: str, side: int) -> Phases:
    """Return 512 rows: a tile that repeats, or random phases."""
    if kind == "noise":
        values = np.array([0, 1, 2, 255], np.uint8)
        return values[np.random.default_rng(0).integers(0, 4, (ROWS, side), np.uint8)]
    row, column = np.mgrid[:ROWS, :ROWS] * (2 * np.pi / ROWS)
    waves = np.sin(8 * row) * np.sin(9 * column) + np.sin(7 * row + 3 * column) / 2
    tile = np.where(waves > 1, 2, np.where(waves < -0.7, 1, 0)).astype(np.uint8)
    return np.tile(tile, (1, -(-side // ROWS)))[:, :side]


def shift(band: Phases, top: int) -> Phases:
    """Return the band that begins at row `top`: none equals its neighbours."""
    return np.roll(band, 37 * (top // ROWS), axis=1)


def write(path: Path, kind: str, side: int) -> None:
    """Write a mask by bands."""
    from mudrock_cli.image import mask as mask_writer
    from mudrock_cli.image.mask import create_mask
    from mudrock_cli.image.types import PixelSize

    if kind == "noise":
        mask_writer._LEVEL = 0
    band = draw_band(kind, side)
    with create_mask(path, (side, side), PixelSize(10.0, "benchmark"), {}) as writer:
        for top in range(0, side, ROWS):
            writer.write_rows(shift(band, top)[: side - top])


def read(path: Path, kind: str, side: int) -> None:
    """Compare windows anywhere, and the last rows, with what was written."""
    from mudrock_cli.image.mask import open_mask

    mask, band, rng = open_mask(path), draw_band(kind, side), np.random.default_rng(1)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        assert tiff.is_bigtiff == (path.stat().st_size > mask_bytes())
        print(f"  BigTIFF: {tiff.is_bigtiff}, last offset 2^{np.log2(page.dataoffsets[-1]):.2f}")
    assert mask.shape == (side, side)
    assert mask.pixel_size is not None
    assert mask.pixel_size.nm == 10
    tops = [*rng.integers(0, side - ROWS, WINDOWS).tolist(), side - ROWS]
    for top in tops:
        left = int(rng.integers(0, side - ROWS)) if top != tops[-1] else side - ROWS
        window = mask.read(slice(top, top + ROWS), slice(left, left + ROWS))
        for row in range(0, ROWS, 73):
            whole = shift(band, top + row)[(top + row) % ROWS]
            assert np.array_equal(window[row], whole[left : left + ROWS]), (top + row, left)


def mask_bytes() -> int:
    """Return the compressed bytes from which on a mask becomes a BigTIFF."""
    from mudrock_cli.image.mask import BIG_BYTES

    return BIG_BYTES


def run(step: str, folder: Path, kind: str, side: int) -> None:
    """Do one step and print what it took."""
    path, began = folder / f"{kind}.tif", time.monotonic()
    (write if step == "write" else read)(path, kind, side)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        f"{kind} {step}: {side * side:.2e} pixels, {time.monotonic() - began:.0f} s, "
        f"{usage.ru_utime + usage.ru_stime:.0f} s of a processor, {usage.ru_maxrss / 1e3:.0f} MB "
        f"of memory, {path.stat().st_size / 1e9:.2f} GB of file",
        flush=True,
    )


def main() -> None:
    """Run both steps on both masks, and remove them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("side", type=int, nargs="?", default=70_000)
    parser.add_argument("--only", nargs=2, metavar=("STEP", "KIND"))
    options = parser.parse_args()
    if options.only:
        run(options.only[0], options.folder, options.only[1], options.side)
        return
    for kind in ("rock", "noise"):
        try:
            for step in ("write", "read"):
                words = [str(options.folder), str(options.side), "--only", step, kind]
                subprocess.run([sys.executable, __file__, *words], check=True)
        finally:
            (options.folder / f"{kind}.tif").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
