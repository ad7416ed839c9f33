"""Draw the example micrographs again, from the seeds that their truth masks record.

Run from the checkout: PYTHONPATH=.:tests/support python -m phantom FOLDER
"""

import sys
from pathlib import Path

import tifffile

from mudrock_cli.image.mask import open_mask
from phantom.synthesis import redraw

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def main() -> None:
    """Write NAME.tif (grey, with its pixel size) for each mask in ``examples/truth``."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((EXAMPLES / "truth").glob("*.tif")):
        made = redraw(open_mask(path))
        size = {"PhysicalSizeX": made.pixel_size.um, "PhysicalSizeY": made.pixel_size.um}
        tifffile.imwrite(folder / path.name, made.grey, ome=True, metadata=size, compression="zlib")
        print(folder / path.name)


if __name__ == "__main__":
    main()
