"""How well `groundtruth` reproduces the published labels, and how far its defaults are from best.

Run from the checkout: python tests/benchmarks/groundtruth_accuracy.py [FIGURE.png]
It reads `../shared/data/kumano`, a folder beside the checkout. The defaults were chosen on
micrographs 11, 15 and 17; nothing was chosen on the single tiles 10, 12 and 16.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from mudrock_cli.deeplab.weights import start_backend  # noqa: E402

start_backend()  # without its notices

from phantom import make_phantom  # noqa: E402

from mudrock_cli.classical.recipe import WorkflowRecipe, load_recipe  # noqa: E402
from mudrock_cli.classical.workflow import Workflow, frame_phases, label_phases  # noqa: E402
from mudrock_cli.deeplab.dataset import load_samples, register_labels  # noqa: E402
from mudrock_cli.deeplab.recipe import load_recipe as load_model_recipe  # noqa: E402
from mudrock_cli.image.mask import open_mask  # noqa: E402
from mudrock_cli.image.micrograph import Micrograph, open_micrograph  # noqa: E402
from mudrock_cli.image.resample import deduplicate  # noqa: E402
from mudrock_cli.image.types import Phase, PixelSize  # noqa: E402

KUMANO = ROOT / ".." / "shared" / "data" / "kumano"
TUNED, HELD_OUT = (11, 15, 17), (10, 12, 16)
COARSE = (10, 12, 16)  # single tiles whose silt has the sizes of pixels of 25 nm
PHASES = (Phase.CLAY, Phase.SILT, Phase.PORE)
Grey = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]


def load(number: int, pixel_nm: float | None = None) -> tuple[Micrograph, Grey]:
    size = PixelSize(pixel_nm, "tried") if pixel_nm else None
    micrograph = open_micrograph(KUMANO / "images" / f"kumano_{number}.tif", pixel_size=size)
    return micrograph, open_mask(KUMANO / "labels" / f"kumano_{number}.png").phases()


def confuse(labels: Grey, found: Grey) -> Counts:
    """Count pixels (3, 3) by label and by what was found."""
    known = labels != Phase.VOID
    pairs = labels[known].astype(int) * 3 + found[known]
    return np.bincount(pairs, minlength=9).reshape(3, 3)


def iou(counts: Counts) -> npt.NDArray[np.float64]:
    both = np.diag(counts)
    return both / np.maximum(counts.sum(0) + counts.sum(1) - both, 1)


def show(name: str, counts: Counts) -> None:
    print(f"{name:42s}" + "".join(f"{value:8.3f}" for value in iou(counts)))


def compare(title: str, numbers: Sequence[int], recipes: Iterable[str]) -> None:
    print(f"\n{title:42s}" + "".join(f"{phase.name.lower():>8s}" for phase in PHASES))
    totals: dict[str, list[Counts]] = {}
    for number in numbers:
        micrograph, labels = load(number)
        registered, drift = register_labels(micrograph.grey(), labels)
        masks = {name: label_phases(micrograph, load_recipe(name)) for name in recipes}
        masks["the authors' network"] = open_mask(
            KUMANO / "authors" / f"kumano_{number}.png"
        ).phases()
        for name, found in masks.items():
            for kind, truth in (("", labels), (", labels registered", registered)):
                counts = confuse(truth, found)
                totals.setdefault(name + kind, []).append(counts)
                if not kind or drift:
                    show(f"{number} {name}{kind}", counts)
    for name, parts in totals.items():
        show(f"pooled {name}", np.sum(parts, axis=0))


def compare_tiles() -> None:
    print("\nsingle tiles as if their pixels were 25 nm (silt only)")
    for number in COARSE:
        micrograph, labels = load(number, 25.0)
        counts = confuse(labels, label_phases(micrograph, WorkflowRecipe()))
        print(f"{number}: silt {iou(counts)[Phase.SILT]:.3f}")


def compare_conditions() -> None:
    """Compare the default recipe on micrographs with noise added, and with coarser pixels."""
    samples = [
        sample
        for sample in load_samples(KUMANO, load_model_recipe("fast", []).data).samples
        if int(sample.name[-2:]) in TUNED
    ]
    print(f"\n{f'pooled {TUNED}, labels registered':42s}    clay    silt    pore")
    for noise in (0, 4, 8, 14):
        rng = np.random.default_rng(0)
        counts = []
        for sample in samples:
            grey = np.clip(np.rint(sample.grey + rng.normal(0, noise, sample.grey.shape)), 0, 255)
            assert sample.pixel_size is not None
            counts.append(confuse(sample.labels, find(grey, sample.pixel_size.nm)))
        show(f"noise of {noise} grey levels more", np.sum(counts, axis=0))
    for nm in (15, 18, 22, 30, 40):
        counts = []
        for sample in samples:
            assert sample.pixel_size is not None
            height, width = sample.grey.shape
            factor = sample.pixel_size.nm / nm
            size = (round(width * factor), round(height * factor))
            grey = cv2.resize(sample.grey, size, interpolation=cv2.INTER_AREA)
            found = cv2.resize(find(grey, nm), (width, height), interpolation=cv2.INTER_NEAREST)
            counts.append(confuse(sample.labels, np.asarray(found, np.uint8)))
        show(f"pixels of {nm} nm", np.sum(counts, axis=0))


def find(grey: npt.NDArray[np.number], pixel_nm: float) -> Grey:
    size = PixelSize(pixel_nm, "made")
    micrograph = Micrograph.from_array("made", np.asarray(grey, np.uint8), size)
    return label_phases(micrograph, WorkflowRecipe())


def compare_phantoms(seeds: Sequence[int]) -> None:
    for name in ("exact", "groundtruth"):
        errors = []
        for seed in seeds:
            made = make_phantom(seed, (1000, 1200))
            micrograph = Micrograph.from_array("phantom", made.grey, made.pixel_size)
            found = label_phases(micrograph, load_recipe(name))
            pore = np.mean(found == Phase.PORE) - made.facts["porosity"]
            silt = np.mean(found == Phase.SILT) - made.facts["silt_fraction"]
            errors.append((pore, silt))
        for phase, column in zip(("porosity", "silt"), 100 * np.transpose(errors), strict=True):
            close = int(np.sum(np.abs(column) < 1))
            print(
                f"phantoms, recipe {name}: {phase} {column.mean():+.2f} points on average, "
                f"{close} of {len(column)} within 1: {np.round(column, 1).tolist()}"
            )


def sweep(
    micrograph: Micrograph, labels: Grey, recipes: Sequence[WorkflowRecipe], phase: Phase
) -> list[float]:
    """Return the IoU of a phase for recipes that differ in thresholds."""
    deduplicated = deduplicate(micrograph)
    workflow = Workflow(deduplicated.micrograph, recipes[0])
    scores = []
    for recipe, candidates in zip(recipes, workflow.find_candidates(recipes), strict=True):
        phases = workflow.choose_phases(candidates, recipe)
        found = np.concatenate(list(frame_phases(deduplicated, phases)))
        scores.append(float(iou(confuse(labels, found))[phase]))
    return scores


def draw_distance(path: Path) -> None:
    """Draw IoU against each threshold, an image a line; the default and its tolerance marked."""
    plain = WorkflowRecipe()
    darkness, roughness = np.arange(0.12, 0.401, 0.02), np.arange(2.4, 9.01, 0.6)
    pores = [replace(plain, pore=replace(plain.pore, darkness=float(d))) for d in darkness]
    silts = [replace(plain, silt=replace(plain.silt, roughness=float(r))) for r in roughness]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    colours = matplotlib.colormaps["tab10"]
    for index, number in enumerate((*TUNED, *HELD_OUT)):
        style = {"color": colours(index), "linestyle": "-" if number in TUNED else "--"}
        micrograph, labels = load(number)
        labels = register_labels(micrograph.grey(), labels)[0]
        values = sweep(micrograph, labels, pores, Phase.PORE)
        default = sweep(micrograph, labels, [plain], Phase.PORE)[0]
        tell(f"{number} pore", default, darkness, values)
        left.plot(darkness, values, label=str(number), **style)
        micrograph = load(number, 25.0)[0] if number in COARSE else micrograph
        values = sweep(micrograph, labels, silts, Phase.SILT)
        default = sweep(micrograph, labels, [plain], Phase.SILT)[0]
        tell(f"{number} silt", default, roughness, values)
        name = f"{number} at 25 nm" if number in COARSE else str(number)
        right.plot(roughness, values, label=name, **style)
    mark(left, "pore: darkness", plain.pore.darkness, plain.pore.tolerance)
    mark(right, "silt: roughness", plain.silt.roughness, plain.silt.tolerance)
    figure.suptitle("IoU with the published labels (17 registered); dashed: held out")
    figure.savefig(path, dpi=130)
    print(f"figure: {path}")


def tell(
    name: str, default: float, thresholds: npt.NDArray[np.float64], values: list[float]
) -> None:
    best = int(np.argmax(values))
    print(f"{name}: default {default:.3f}, best {values[best]:.3f} at {thresholds[best]:.2f}")


def mark(axes: Axes, label: str, default: float, tolerance: float) -> None:
    axes.axvspan(default - tolerance, default + tolerance, color="0.88")
    axes.axvline(default, color="0.4", linewidth=1)
    axes.set_xlabel(f"{label} (default {default:g} ± {tolerance:g})")
    axes.set_ylabel("IoU")
    axes.set_ylim(0, 1)
    axes.legend(fontsize=8, frameon=False)


def main() -> None:
    recipes = ("groundtruth", "exact", "threshold")
    compare("defaults chosen on these", TUNED, recipes)
    compare("held out", HELD_OUT, recipes)
    compare_tiles()
    compare_conditions()
    compare_phantoms(range(12))
    if len(sys.argv) > 1:
        draw_distance(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
