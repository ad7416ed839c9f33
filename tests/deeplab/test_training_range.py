import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mudrock_cli.deeplab.model import TrainedModel, describe_model, load_model, seal_model
from mudrock_cli.deeplab.training_range import (
    Limits,
    describe_appearance,
    describe_outside,
    find_outside,
    read_training_range,
    span_training_range,
    write_training_range,
)
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.micrograph import Micrograph, open_micrograph

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def test_the_span_is_widened_by_three_quarters_and_no_entropy_is_too_small() -> None:
    rows = [{"grey_skew": -0.1, "doubt": 0.1}, {"grey_skew": 0.3, "doubt": 0.2}]
    rows += [{"grey_skew": 0.1, "doubt": 0.3}]
    domain = span_training_range(rows)
    assert domain["grey_skew"].low == pytest.approx(-0.4)
    assert domain["grey_skew"].high == pytest.approx(0.6)
    assert domain["doubt"].low == 0
    assert domain["doubt"].high == pytest.approx(0.45)
    assert all(not find_outside(domain, row) for row in rows)


def test_two_micrographs_span_nothing_and_a_figure_that_one_lacks_is_left_out() -> None:
    assert span_training_range([]) == {}
    assert span_training_range([{"a": 1.0}, {"a": 2.0}]) == {}
    rows: list[dict[str, float | None]] = [{"a": 1.0, "b": 1.0}, {"a": 2.0, "b": None}]
    assert set(span_training_range([*rows, {"a": 1.5, "b": 3.0}])) == {"a"}


def test_what_lies_outside_is_told_with_its_limits() -> None:
    domain = {"fine_texture": Limits(0.5, 1.7), "grey_skew": Limits(-0.5, 0.0)}
    assert find_outside(domain, {"fine_texture": 0.5, "grey_skew": 0.0, "other": 9.0}) == []
    figures = {"fine_texture": 0.234, "grey_skew": None}
    assert find_outside(domain, figures) == ["fine_texture", "grey_skew"]
    told = "fine texture 0.23 (0.50 to 1.70), grey skew not measurable (-0.50 to 0.00)"
    assert describe_outside(domain, figures) == told
    assert find_outside({}, figures) == []


def seal(tiny_model: TrainedModel, folder: Path, domain: object) -> TrainedModel:
    shutil.copytree(tiny_model.path, folder)
    return seal_model(folder, {"temperature": 1.0, "domain": domain})


def test_the_card_keeps_it(tiny_model: TrainedModel, tmp_path: Path) -> None:
    domain = {"fine_texture": Limits(0.5, 1.75), "doubt": Limits(0.0, 0.5)}
    model = seal(tiny_model, tmp_path / "tiny", write_training_range(domain))
    assert read_training_range(model) == domain
    assert model.digest == tiny_model.digest  # it predicts the same
    assert read_training_range(tiny_model) == {}
    text = describe_model("tiny", model.recipe, model.card)
    assert "| fine texture | 0.50 | 1.75 | growth of grey differences from 10 to 40 nm" in text
    assert "## Training range" not in describe_model("tiny", model.recipe, tiny_model.card)


@pytest.mark.parametrize(
    "domain",
    [[], "wide", {"doubt": 1}, {"doubt": {"low": 0}}, {"doubt": {"low": "a", "high": 1}}, None],
)
def test_a_card_that_tells_it_in_another_form_is_refused(
    tiny_model: TrainedModel, tmp_path: Path, domain: object
) -> None:
    model = seal(tiny_model, tmp_path / "tiny", domain)
    with pytest.raises(MudrockError, match=r"card\.json: its domain"):
        read_training_range(model)


def test_limits_that_are_no_numbers_are_refused(tiny_model: TrainedModel, tmp_path: Path) -> None:
    seal(tiny_model, tmp_path / "tiny", {"doubt": {"low": 0, "high": 1}})
    card: dict[str, Any] = json.loads((tmp_path / "tiny" / "card.json").read_text("utf-8"))
    card["domain"]["doubt"]["high"] = float("nan")
    (tmp_path / "tiny" / "card.json").write_text(json.dumps(card), "utf-8")
    with pytest.raises(MudrockError, match="not finite"):
        read_training_range(load_model(str(tmp_path / "tiny")))


@pytest.mark.skipif(not DATA.is_dir(), reason="no shared data")
def test_each_parent_lies_within_what_the_others_span_and_another_rock_does_not() -> None:
    def look(path: Path) -> dict[str, float | None]:
        return describe_appearance(open_micrograph(path), 10)

    parents = [look(path) for path in sorted((DATA / "kumano" / "images").glob("*.tif"))]
    for number, figures in enumerate(parents):
        others = span_training_range([*parents[:number], *parents[number + 1 :]])
        assert find_outside(others, figures) == []
    domain = span_training_range(parents)
    crops = [look(path) for path in sorted((DATA / "duvernay" / "images").glob("*.png"))]
    assert all("fine_texture" in find_outside(domain, figures) for figures in crops)
    for name in ("zeiss_5.86nm.tif", "tescan_uint16.tif"):
        assert "grey_skew" in find_outside(domain, look(DATA / "vendor" / name))


@pytest.mark.skipif(not DATA.is_dir(), reason="no shared data")
def test_blur_noise_and_a_negative_are_noticed() -> None:
    import cv2
    import numpy as np

    paths = sorted((DATA / "kumano" / "images").glob("*.tif"))
    domain = span_training_range([describe_appearance(open_micrograph(path), 10) for path in paths])
    grey = open_micrograph(DATA / "kumano" / "images" / "kumano_11.tif").grey()
    noise = np.random.default_rng(0).normal(0, 25, grey.shape)

    def judge(changed: np.ndarray[Any, np.dtype[Any]]) -> list[str]:
        levels = np.rint(changed).clip(0, 255).astype(np.uint8)
        return find_outside(domain, describe_appearance(Micrograph.from_array("a", levels), 10))

    assert judge(0.5 * grey + 40.0) == []
    assert "fine_texture" in judge(cv2.GaussianBlur(grey, (0, 0), 3))
    assert "fine_texture" in judge(grey + noise)
    assert judge(255.0 - grey) == ["grey_skew"]
