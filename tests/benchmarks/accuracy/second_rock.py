"""Whether a second rock whose labels tell grains alone teaches a network silt.

Run from the checkout; README.md has the commands and what came of them:

    python tests/benchmarks/accuracy/second_rock.py --write FOLDER
    python tests/benchmarks/accuracy/second_rock.py --judge MODEL ...

The first writes the Kumano micrographs and the upper half of the Duvernay micrograph as one folder
to train on, its labels 1 in grains and 3 elsewhere. The second judges models on the Kumano
micrographs that they were not trained on, and on the lower half of Duvernay. It reads
`../shared/data`, a folder beside the checkout.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests" / "benchmarks" / "teaching"))

import finetuning  # noqa: E402

from mudrock_cli.deeplab.dataset import load_samples  # noqa: E402
from mudrock_cli.deeplab.model import load_model  # noqa: E402
from mudrock_cli.image.types import Phase  # noqa: E402

CLAY_OR_PORE = 3


def write(folder: Path) -> None:
    """Write both rocks as one folder; `--values 0=clay,1=silt,2=pore,3=clay+pore` reads it."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
        for path in (finetuning.DATA / "kumano" / kind).iterdir():
            (folder / kind / path.name).symlink_to(path.resolve())
    sample, _ = finetuning.join_duvernay()
    half = len(sample.grey) // 2
    nm = load_model().nm_per_pixel  # its own is not known
    tifffile.imwrite(
        folder / "images" / "duvernay.tif",
        sample.grey[:half],
        imagej=True,
        resolution=(1 / nm, 1 / nm),
        metadata={"unit": "nm"},
    )
    values = np.where(sample.labels == Phase.CLAY, np.uint8(CLAY_OR_PORE), sample.labels)
    tifffile.imwrite(folder / "labels" / "duvernay.tif", values[:half])


def judge(paths: list[str]) -> None:
    """Print IoU of each model, alone and with the prior."""
    whole, _ = finetuning.join_duvernay()
    half = len(whole.grey) // 2
    lower = replace(whole, grey=whole.grey[half:], labels=whole.labels[half:])
    for path in paths:
        model = load_model(path)
        trained = model.card["data"]["parts"]["train"]["parents"]
        samples = load_samples(finetuning.DATA / "kumano", model.recipe.data).samples
        for sample in (*samples, lower):
            if sample.name in trained and sample is not lower:
                continue
            found = (finetuning.judge(model, [sample], prior=prior) for prior in (False, True))
            alone, together = map(finetuning.show, found)
            print(f"{path} {sample.name}: alone {alone}, with prior {together}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, metavar="FOLDER")
    parser.add_argument("--judge", nargs="+", default=[], metavar="MODEL")
    options = parser.parse_args()
    if options.write:
        write(options.write)
    judge(options.judge)


if __name__ == "__main__":
    main()
