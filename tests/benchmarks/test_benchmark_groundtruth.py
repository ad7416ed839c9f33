"""Speed and memory of `groundtruth`, against the same steps written plainly with scikit-image.

Where the machine is busy with something else, a process is charged for its computing time on both
cores together, which is longer than its time on free ones.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from phantom import make_phantom
from skimage import filters, morphology

from mudrock_cli.classical.recipe import WorkflowRecipe
from mudrock_cli.classical.workflow import label_phases
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.types import PixelSize

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
FULL = os.environ.get("MUDROCK_FULL_BENCHMARKS") == "1"
Grey = npt.NDArray[np.uint8]


def run_mudrock(*words: str | Path) -> tuple[float, float]:
    """Run the command line in a process of its own; returns its seconds and peak megabytes."""
    start = time.monotonic()
    command = [sys.executable, "-m", "mudrock_cli", *map(str, words)]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    seconds = min(time.monotonic() - start, usage.ru_utime + usage.ru_stime)
    return seconds, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def label_plainly(grey: Grey) -> Grey:
    """The same steps as one would write them: footprints, no pyramid, no distances, one pass.

    Median, top-hat and bottom-hat on three scales at 10 nm per pixel, threshold, opening, size.
    """
    recipe = WorkflowRecipe()
    black, solid = np.percentile(grey, [recipe.background.black_percent, 50])
    contrast = np.zeros(grey.shape)
    for octave in range(recipe.contrast.scales):
        window = round(recipe.contrast.smooth_nm * 2**octave / 10) // 2 * 2 + 1
        disc = morphology.disk(round(recipe.contrast.reach_nm * 2**octave / 10))
        smooth = filters.median(grey, np.ones((window, window)))
        bright = recipe.contrast.top_hat * morphology.white_tophat(smooth, disc)
        contrast += (morphology.black_tophat(smooth, disc) - bright) / recipe.contrast.scales
    contrast /= solid - black
    pores = morphology.erosion(contrast > recipe.pore.darkness, np.ones((3, 3)))
    solid_mask = contrast < recipe.silt.roughness * np.median(contrast)
    disc = morphology.disk(round(recipe.silt.thickness_nm / 20))
    opened = morphology.opening(solid_mask, disc)
    largest = np.pi / 4 * (recipe.silt.min_ecd_nm / 10) ** 2
    silt = morphology.remove_small_objects(opened, max_size=int(largest))
    return np.where(pores, 2, silt).astype(np.uint8)


def fastest(function: Callable[[], object], times: int) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def test_it_is_five_times_as_fast_as_plain_scikit_image() -> None:
    grey = make_phantom(1, (600, 700)).grey
    micrograph = Micrograph.from_array("phantom", grey, PixelSize(10.0, "made"))
    ours = fastest(lambda: label_phases(micrograph, WorkflowRecipe()), 5)
    plain = fastest(lambda: label_plainly(grey), 1)
    print(f"{plain / ours:.0f} times as fast: {ours:.2f} s for {plain:.1f} s, {grey.shape}")
    assert plain / ours >= 5


def test_a_snapshot_takes_less_than_1_5_s_from_start_to_end(tmp_path: Path) -> None:
    grey = make_phantom(1, (1715, 2000)).grey
    tifffile.imwrite(tmp_path / "a.tif", grey)
    words = ["groundtruth", tmp_path / "a.tif", "--out", tmp_path / "m", "--pixel-size", "10nm"]
    seconds = min(run_mudrock(*words, "--force")[0] for _ in range(4))
    print(f"2000 x 1715 in {seconds:.2f} s")
    assert seconds < 1.5


def write_wide(path: Path, shape: tuple[int, int]) -> None:
    """Write a tiled TIFF that repeats a phantom."""
    grey = make_phantom(2, (1024, 1024)).grey

    def tiles() -> Iterator[Grey]:
        for _ in range(-(-shape[0] // 1024) * -(-shape[1] // 1024)):
            yield grey

    layout = {"tile": (1024, 1024), "compression": "zlib", "photometric": "minisblack"}
    tifffile.imwrite(path, tiles(), shape=shape, dtype=np.uint8, **layout)


def test_memory_of_a_wide_image_stays_below_2_gb(tmp_path: Path) -> None:
    """MUDROCK_FULL_BENCHMARKS=1 takes the whole square."""
    shape = (20_000 if FULL else 2_500, 20_000)
    write_wide(tmp_path / "wide.tif", shape)
    words = ["groundtruth", tmp_path / "wide.tif", "--out", tmp_path / "m"]
    seconds, megabytes = run_mudrock(*words, "--pixel-size", "10nm", "--band")
    print(f"{shape[1]} x {shape[0]} in {seconds:.0f} s, at most {megabytes:.0f} MB")
    assert megabytes < 2000
