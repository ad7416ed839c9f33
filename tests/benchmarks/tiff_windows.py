"""Time and memory of windows of TIFF files, by mudrock's reader and by tifffile's Zarr view.

    python tests/benchmarks/tiff_windows.py FOLDER [SIDE]

A line per layout, reader and pattern, each in a process of its own: seconds, peak memory.
"""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import tifffile

LAYOUTS = {
    "tiles": {"tile": (512, 512), "compression": "zlib"},
    "strips": {"rowsperstrip": 64, "compression": "zlib"},
    "one strip": {"rowsperstrip": 1 << 20},
}
PATTERNS = ("one window", "overlapping windows", "bands")


def measure(path: Path, reader: str, pattern: str, side: int) -> None:
    """Read a pattern of windows and print what it took."""
    start = time.perf_counter()
    if reader == "mudrock":
        from mudrock_cli.image.tiff import open_tiff

        read = open_tiff(path, side * side).read
    else:
        import zarr

        view = zarr.open_array(tifffile.imread(path, aszarr=True), mode="r")

        def read(rows: slice, columns: slice) -> np.ndarray:
            return view[rows, columns]

    if pattern == "one window":
        read(slice(side // 2, side // 2 + 256), slice(side // 2, side // 2 + 256))
    elif pattern == "bands":
        for top in range(0, side, 300):
            read(slice(top, min(top + 300, side)), slice(0, side))
    else:
        for top in range(0, 2000, 768):
            for left in range(0, side - 1024, 768):
                read(slice(top, top + 1024), slice(left, left + 1024))
    seconds = time.perf_counter() - start
    status = Path("/proc/self/status").read_text()  # ru_maxrss would count the parent's
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(f"{path.stem:>9} {reader:>8} {pattern:>20} {seconds:6.2f} s {peak:5.0f} MB", flush=True)


def main() -> None:
    """Measure all layouts, readers and patterns."""
    folder, side = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
    if len(sys.argv) > 3:
        measure(folder, *sys.argv[3:], side)
        return
    noise = np.random.default_rng(0).normal(120, 20, (2000, 2000)).clip(0, 255).astype(np.uint8)
    image = np.tile(noise, (-(-side // 2000),) * 2)[:side, :side]
    for name, options in LAYOUTS.items():
        path = folder / f"{name}.tif"
        tifffile.imwrite(path, image, **options)
        for pattern in PATTERNS:
            for reader in ("mudrock", "tifffile"):
                words = [sys.executable, __file__, str(path), str(side), reader, pattern]
                subprocess.run(words, check=True)
        path.unlink()


if __name__ == "__main__":
    main()
