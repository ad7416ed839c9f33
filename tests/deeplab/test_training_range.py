import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mudrock_cli.deeplab.model import TrainedModel, describe_model, load_model, seal_model
from mudrock_cli.deeplab.training_range import (
    FeatureDistribution,
    Features,
    Limits,
    describe_appearance,
    describe_outside,
    encode_appearance,
    find_outside,
    read_training_range,
    span_training_range,
    write_training_range,
)
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.micrograph import Micrograph, open_micrograph
from mudrock_cli.image.resample import deduplicate
from mudrock_cli.image.types import Box, PixelSize

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
    domain = {"distance": Limits(0, 3.5), "doubt": Limits(0.0, 0.5)}
    model = seal(tiny_model, tmp_path / "tiny", write_training_range(domain))
    assert read_training_range(model) == domain
    assert model.digest == tiny_model.digest  # it predicts the same
    assert read_training_range(tiny_model) == {}
    text = describe_model("tiny", model.recipe, model.card)
    assert "| distance from the training micrographs | 0.00 | 3.50 | in standard dev" in text
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


def draw_texture(seed: int, sigma: float = 2.0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    noise = np.random.default_rng(seed).normal(size=(400, 400)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
    return np.clip(128 + 30 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def encode(grey: np.ndarray[Any, np.dtype[Any]]) -> Features:
    levels = np.rint(grey).clip(0, 255).astype(np.uint8)
    return encode_appearance(Micrograph.from_array("a", levels), 10)


def test_the_distance_is_that_of_mahalanobis_and_sources_count_alike() -> None:
    rng = np.random.default_rng(0)
    small, large = rng.normal(0, 1, (40, 3)), rng.normal(2, 1, (4000, 3))
    found = {"small": [small.astype(np.float32)], "large": [large.astype(np.float32)]}
    distribution = FeatureDistribution.gather(found)
    centre = (small.mean(axis=0) + large.mean(axis=0)) / 2
    off = np.full((1, 3), 7.0, np.float32)
    parts = [(part - centre).T @ (part - centre) / len(part) for part in (small, large)]
    covariance = sum(parts) / 2
    shrunk = 0.9 * covariance + 0.1 * np.trace(covariance) / 3 * np.eye(3)
    expected = np.sqrt((off[0] - centre) @ np.linalg.inv(shrunk) @ (off[0] - centre) / 3)
    assert distribution.measure_distance(off) == pytest.approx(expected, rel=1e-4)
    assert distribution.find_limit() is None  # two sources


def test_the_limit_is_half_as_far_again_as_the_source_most_unlike_the_others() -> None:
    found = {f"{n}": [np.random.default_rng(n).normal(n, 1, (9, 4))] for n in range(4)}
    distribution = FeatureDistribution.gather(found)
    distances = []
    for name, own in found.items():
        others = {other: windows for other, windows in found.items() if other != name}
        distances.append(FeatureDistribution.gather(others).measure_distance(own[0]))
    assert distribution.find_limit() == pytest.approx(1.5 * max(distances))


def test_features_do_not_know_brightness_and_contrast_but_texture() -> None:
    known = {f"{seed}": [encode(draw_texture(seed))] for seed in range(5)}
    distribution = FeatureDistribution.gather(known)
    limit = distribution.find_limit()
    assert limit is not None
    other = draw_texture(9).astype(float)
    assert distribution.measure_distance(encode(other)) < limit
    assert distribution.measure_distance(encode(0.4 * other + 90)) < limit
    assert distribution.measure_distance(encode(draw_texture(9, sigma=8))) > limit


def test_threads_take_turns() -> None:
    textures = [draw_texture(seed) for seed in range(4)] * 4
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(encode, textures))
    alone = encode(textures[1])
    assert all(np.array_equal(found[index], alone) for index in range(1, 16, 4))


def test_windows_of_a_mosaic_are_bounded_and_a_data_bar_does_not_count() -> None:
    rows: list[int] = []

    def read(vertical: slice, across: slice) -> np.ndarray[Any, np.dtype[np.uint8]]:
        rows.append(vertical.stop - vertical.start)
        y, x = np.ogrid[vertical, across]
        return ((y * 7 + x * 13) % 251).astype(np.uint8)

    shape = (9000, 5000)
    mosaic = Micrograph("a", None, shape, read, Box.whole(shape), PixelSize(10, "test"))
    assert encode_appearance(mosaic, 10).shape == (9, 160)
    assert max(rows) <= 4096
    empty = Micrograph("a", None, (50, 50), read, Box(0, 0, 0, 50), PixelSize(10, "test"))
    assert encode_appearance(empty, 10).size == 0


def test_the_file_is_read_back_and_a_damaged_one_refused(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(5, 160)).astype(np.float32)
    written = FeatureDistribution(features, np.array([0, 0, 1, 2, 2]))
    written.write(tmp_path / "range.npz")
    read = FeatureDistribution.read(tmp_path / "range.npz")
    assert np.allclose(read.features, features, atol=2e-3)
    assert read.sources.tolist() == [0, 0, 1, 2, 2]
    for arrays in (
        {"features": features},
        {"features": features * np.nan, "sources": written.sources},
        {"features": features, "sources": written.sources[:2]},
        {"features": features[:0], "sources": written.sources[:0]},
        {"features": features[:, :3], "sources": written.sources},  # of another encoder
    ):
        np.savez(tmp_path / "bad.npz", **arrays)
        with pytest.raises(MudrockError, match=r"bad\.npz: holds no features"):
            FeatureDistribution.read(tmp_path / "bad.npz")


@pytest.mark.skipif(not DATA.is_dir(), reason="no shared data")
def test_micrographs_of_the_basin_lie_inside_and_other_rocks_and_materials_do_not() -> None:
    def look(path: Path, nm: float | None = None) -> Features:
        size = PixelSize(nm, "test") if nm else None
        seen = deduplicate(open_micrograph(path, pixel_size=size)).micrograph
        return encode_appearance(seen, 12)

    parents = {path.stem: [look(path)] for path in (DATA / "kumano" / "images").glob("*.tif")}
    for name, windows in parents.items():
        others = FeatureDistribution.gather({n: w for n, w in parents.items() if n != name})
        limit = others.find_limit()
        assert limit is not None
        assert others.measure_distance(windows[0]) < limit
    distribution = FeatureDistribution.gather(parents)
    limit = distribution.find_limit()
    assert limit is not None

    def is_outside(path: Path, nm: float | None = None) -> bool:
        return distribution.measure_distance(look(path, nm)) > limit

    strips = sorted((DATA / "kumano_unlabelled").glob("*.png"))
    assert not any(is_outside(path, 7.8) for path in strips)
    crops = sorted((DATA / "duvernay" / "images").glob("*.png"))
    assert all(is_outside(path, 10) for path in crops)
    assert all(is_outside(path) for path in sorted((DATA / "vendor").glob("*.tif")))


@pytest.mark.skipif(not DATA.is_dir(), reason="no shared data")
def test_blur_noise_and_a_negative_are_noticed() -> None:
    paths = sorted((DATA / "kumano" / "images").glob("*.tif"))
    known = {path.stem: [encode_appearance(open_micrograph(path), 10)] for path in paths}
    distribution = FeatureDistribution.gather(known)
    limit = distribution.find_limit()
    assert limit is not None
    grey = open_micrograph(DATA / "kumano" / "images" / "kumano_11.tif").grey().astype(float)
    noise = np.random.default_rng(0).normal(0, 40, grey.shape)
    assert distribution.measure_distance(encode(0.5 * grey + 40)) < limit
    for changed in (cv2.GaussianBlur(grey, (0, 0), 4), grey + noise):
        assert distribution.measure_distance(encode(changed)) > limit
    skews = [
        {"grey_skew": describe_appearance(open_micrograph(path), 10)["grey_skew"]} for path in paths
    ]
    negative = Micrograph.from_array("a", (255 - grey).astype(np.uint8))
    assert find_outside(span_training_range(skews), describe_appearance(negative, 10))
