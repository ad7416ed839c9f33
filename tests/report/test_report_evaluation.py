"""The figure and the tables of an evaluation say what the rows say."""

import re
from itertools import combinations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from rich.console import Console

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.measure.scores import ImageScores, Values, score_mask, tabulate_scores
from mudrock_cli.report import evaluation
from mudrock_cli.report.evaluation import draw_evaluation


def make_rows(methods: tuple[str, ...] = ("model", "authors"), images: int = 3) -> list[Values]:
    rng = np.random.default_rng(0)
    found = []
    for image in range(images):
        truth = np.zeros((40, 40), np.uint8)
        truth[5:20, 5:20], truth[25:35, 25:35] = 1, 2 * (image > 0)
        for method in methods:
            prediction = truth.copy()
            prediction[5 : 5 + int(rng.integers(1, 9)), :] = 1
            masks = [PhaseMask.from_array("m", mask) for mask in (truth, prediction)]
            scores = score_mask(*masks, tolerance=1, um_per_pixel=0.01)
            found.append(ImageScores(method, f"image_{image}", None, scores))
    return tabulate_scores(found)


def render(table: object) -> str:
    console = Console(width=80, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def count_images(axes: Axes) -> float:
    return sum(patch.get_height() for patch in axes.patches)


def test_histograms_count_the_images_that_have_the_phase() -> None:
    figure = draw_evaluation(make_rows())
    silt, clay, pore, fractions, confusion, _ = figure.axes
    assert (count_images(silt), count_images(clay), count_images(pore)) == (6, 6, 4)
    assert len(fractions.lines) == 5
    shares = [float(text.get_text()) for text in confusion.texts]
    assert sum(shares[:3]) == pytest.approx(100, abs=0.2)


def test_a_phase_that_no_image_has_leaves_an_empty_histogram() -> None:
    figure = draw_evaluation(make_rows(images=1))
    assert count_images(figure.axes[2]) == 0


@pytest.mark.parametrize("images", [1, 3])
def test_no_panel_covers_another_and_none_is_cut(images: int) -> None:
    figure = draw_evaluation(make_rows(images=images))
    FigureCanvasAgg(figure).draw()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    for box in boxes:
        assert box is not None
        assert figure.bbox.padded(1).containsx(box.x0)
        assert figure.bbox.padded(1).containsx(box.x1)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


@pytest.mark.parametrize("methods", [("model",), ("model", "authors"), tuple("abcdefg")])
def test_tables_fit_a_terminal(methods: tuple[str, ...]) -> None:
    rows = make_rows((*methods, "a_folder_of_masks_with_a_long_name"))
    for table in (
        evaluation.tabulate_summary(rows),
        evaluation.tabulate_images(rows),
        evaluation.tabulate_confusion(rows, methods[0]),
        evaluation.tabulate_objects(rows),
        evaluation.tabulate_quantities(rows),
    ):
        text = render(table)
        assert max(map(len, text.splitlines())) <= 80
        assert not re.search(r"[\d.]…", text)


def test_summary_holds_the_numbers() -> None:
    rows = make_rows()
    text = render(evaluation.tabulate_summary(rows))
    pooled = next(r for r in rows if r["level"] == "pooled" and r["method"] == "authors")
    line = next(ln for ln in text.splitlines() if ln.startswith("authors") and "pixels" in ln)
    keys = ("pixel_accuracy", "iou_silt", "iou_clay", "iou_pore", "iou_mean")
    assert line.split()[-5:] == [f"{pooled[key]:.3f}" for key in keys]


def test_many_images_are_cut_and_absences_told() -> None:
    rows = make_rows(("model",), evaluation.MOST_IMAGES + 4)
    assert "and 4 more" in render(evaluation.tabulate_images(rows))
    assert evaluation.describe_absences(rows) == [
        "model: 1 image has no pore in truth and prediction and no part in the mean over images"
    ]
