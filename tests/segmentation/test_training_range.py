import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from mudrock_cli.cli import app
from mudrock_cli.cross_validation import measure_training_range
from mudrock_cli.deeplab.model import TrainedModel, load_model, seal_model
from mudrock_cli.deeplab.training_range import (
    FeatureDistribution,
    describe_appearance,
    encode_appearance,
    find_outside,
    read_training_range,
)
from mudrock_cli.errors import ExitCode
from mudrock_cli.image.mask import open_mask
from mudrock_cli.image.micrograph import Micrograph, open_micrograph
from mudrock_cli.image.resample import deduplicate
from mudrock_cli.image.types import PixelSize

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FIGURES = {"doubt", "distance", "grey_skew"}
TEXTURE = {"fine_texture", "coarse_texture", "texture_bend", "grey_skew"}


def make_grey(seed: int, noise: float = 2.0) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Blocks of dark, middling and bright grey under a little noise."""
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.choice([20, 120, 230], (12, 12)), np.ones((12, 12)))
    return np.clip(blocks + rng.normal(0, noise, blocks.shape), 0, 255).astype(np.uint8)


def segment(model: TrainedModel, *arguments: str | Path) -> Result:
    words = ["segment", "--model", str(model.path), "--pixel-size", "10nm", *map(str, arguments)]
    return CliRunner().invoke(app, words, env={"COLUMNS": "80"})


@pytest.fixture
def model(tiny_model: TrainedModel, tmp_path: Path) -> TrainedModel:
    """The tiny model, which knows blocks under a little noise."""
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_model.path, folder)
    size = PixelSize(10, "test")
    known = [Micrograph.from_array(f"{n}", make_grey(n), size) for n in range(5)]
    return measure_training_range(load_model(str(folder)), known)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A micrograph such as the model knows, and one that drowns in noise."""
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(make_grey(7)).save(folder / "like.png")
    Image.fromarray(make_grey(8, noise=60)).save(folder / "unlike.png")
    return folder


def test_the_card_gets_what_the_training_micrographs_span(
    model: TrainedModel, tiny_model: TrainedModel
) -> None:
    assert set(model.card["domain"]) == FIGURES
    assert model.digest == tiny_model.digest
    assert model.card["iou"] == tiny_model.card["iou"]
    assert "## Training range" in (model.path / "card.md").read_text("utf-8")
    assert model.card["domain"]["doubt"]["high"] < 0.05  # the greys are far from its thresholds


def test_a_micrograph_unlike_them_is_marked(
    model: TrainedModel, images: Path, tmp_path: Path
) -> None:
    result = segment(model, images, "--out", tmp_path / "m")
    assert result.exit_code == ExitCode.DONE
    rows = {line.split()[0]: line.split()[5:] for line in result.stdout.splitlines()[1:3]}
    assert rows["like.png"][1:] == ["done"]
    assert rows["unlike.png"][1:] == ["done", "*"]
    told = [line for line in result.stdout.splitlines() if line.startswith("* unlike")]
    assert told
    assert "distance from the training micrographs (1)" in told[0]
    warnings = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert "unlike.png: unlike what the model tiny was trained on: " in warnings[0]
    assert "distance from the training micrographs " in warnings[0]
    results = open_mask(tmp_path / "m" / "unlike.tif").provenance["results"]
    assert "distance" in results["outside_domain"]
    assert set(results["appearance"]) == TEXTURE | {"distance"}
    assert open_mask(tmp_path / "m" / "like.tif").provenance["results"]["outside_domain"] == []


def test_a_picture_that_is_all_data_bar_is_no_error(model: TrainedModel) -> None:
    from mudrock_cli.image.types import Box
    from mudrock_cli.segmentation import segment_mask

    seen = Micrograph.from_array("bar", make_grey(1), PixelSize(10, "test"))
    mask = segment_mask(replace(seen, specimen=Box(0, 0, 0, seen.shape[1])), model)
    assert (mask.phases() == 255).all()
    assert "distance" in mask.provenance["results"]["outside_domain"]


def test_json_tells_it_and_so_does_a_later_run(
    model: TrainedModel, images: Path, tmp_path: Path
) -> None:
    options = (images / "unlike.png", "--out", tmp_path / "m", "--json")
    for status in ("done", "skipped"):
        line = json.loads(segment(model, *options).stdout)
        assert line["status"] == status
        assert "distance" in line["outside_domain"]
    again = segment(model, *options[:-1])
    assert "skipped *" in again.stdout


def test_an_image_of_one_grey_is_refused_and_the_batch_goes_on(
    model: TrainedModel, images: Path, tmp_path: Path
) -> None:
    Image.fromarray(np.full((50, 50), 120, np.uint8)).save(images / "flat.png")
    result = segment(model, images, "--out", tmp_path / "m")
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "flat.png: every pixel has the same grey, or nearly" in result.stderr
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["like.tif", "unlike.tif"]


def test_a_model_that_does_not_tell_what_it_knows_marks_nothing(
    tiny_model: TrainedModel, images: Path, tmp_path: Path
) -> None:
    result = segment(tiny_model, images, "--out", tmp_path / "m")
    assert result.exit_code == ExitCode.DONE
    assert "unlike" not in result.stderr
    assert "*" not in result.stdout
    assert "outside_domain" not in open_mask(tmp_path / "m" / "like.tif").provenance["results"]


def test_a_damaged_domain_stops_before_any_work(
    model: TrainedModel, images: Path, tmp_path: Path
) -> None:
    card = json.loads((model.path / "card.json").read_text("utf-8"))
    card["domain"] = {"doubt": 3}
    (model.path / "card.json").write_text(json.dumps(card), "utf-8")
    result = segment(model, images, "--out", tmp_path / "m")
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "card.json: its domain is no table of low and high" in result.stderr
    assert not (tmp_path / "m").exists()


def test_of_a_forest_only_the_looks_count(tmp_path: Path) -> None:
    """Its votes are no probabilities, so it has no mean entropy to compare."""
    from mudrock_cli.classical.forest import ForestRecipe, train_forest
    from mudrock_cli.deeplab.recipe import load_recipe

    recipe = load_recipe("forest", ["forest.trees=4", "inference.tile=64", "inference.overlap=16"])
    greys = [make_grey(seed) for seed in range(3)]
    labels = [np.select([grey < 60, grey > 180], [2, 1], 0).astype(np.uint8) for grey in greys]
    forest = train_forest(greys, labels, ForestRecipe.from_toml(recipe.to_toml()))
    (tmp_path / "f").mkdir()
    forest.save(tmp_path / "f")
    size = PixelSize(10, "test")
    known = [Micrograph.from_array(f"{n}", grey, size) for n, grey in enumerate(greys)]
    model = measure_training_range(seal_model(tmp_path / "f", {"temperature": 1.0}), known)
    assert set(model.card["domain"]) == FIGURES - {"doubt"}


def test_two_micrographs_span_nothing(tiny_model: TrainedModel) -> None:
    known = [Micrograph.from_array("a", make_grey(seed)) for seed in range(2)]
    assert measure_training_range(tiny_model, known) is tiny_model


@pytest.mark.skipif(not DATA.is_dir(), reason="no shared data")
def test_the_model_that_ships_knows_its_parents_and_no_other_rock() -> None:
    shipped = load_model()
    domain = read_training_range(shipped)
    assert set(domain) == FIGURES

    distribution = FeatureDistribution.read(shipped.path / "range.npz")

    def outside(path: Path, size: PixelSize | None = None) -> list[str]:
        seen = deduplicate(open_micrograph(path, pixel_size=size)).micrograph
        windows = encode_appearance(seen, shipped.nm_per_pixel)
        figures = describe_appearance(seen, shipped.nm_per_pixel) | {"doubt": 0.0}
        figures["distance"] = distribution.measure_distance(windows)
        return find_outside(domain, figures)

    for path in (DATA / "kumano" / "images").glob("*.tif"):
        assert outside(path) == []
    for path in (DATA / "kumano_unlabelled").glob("*.png"):
        assert outside(path, PixelSize(7.8, "test")) == []
    crops = sorted((DATA / "duvernay" / "images").glob("*.png"))
    assert all(outside(path, PixelSize(10, "test")) for path in crops)
    assert all(outside(path) for path in (DATA / "vendor").glob("*.tif"))


def test_a_card_of_before_is_held_against_the_figures_it_tells(
    tiny_model: TrainedModel, images: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "old"
    shutil.copytree(tiny_model.path, folder)
    domain = {"fine_texture": {"low": 0.5, "high": 2.0}, "doubt": {"low": 0.0, "high": 1.0}}
    old = seal_model(folder, {"temperature": 1.0, "domain": domain})
    segment(old, images / "unlike.png", "--out", tmp_path / "m")
    results = open_mask(tmp_path / "m" / "unlike.tif").provenance["results"]
    assert results["outside_domain"] == ["fine_texture"]
    assert set(results["appearance"]) == TEXTURE
