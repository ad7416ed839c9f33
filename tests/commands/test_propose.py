"""What `propose` writes and says, and what training makes of it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_runs import run
from drawn_images import draw_noisy_grey
from PIL import Image, ImageDraw
from typer.testing import Result

from mudrock_cli.deeplab.dataset import load_samples, name_tile, pair_files
from mudrock_cli.deeplab.model import TrainedModel
from mudrock_cli.deeplab.split import find_sources
from mudrock_cli.errors import ExitCode, MudrockError
from mudrock_cli.files import hash_file
from mudrock_cli.image.mask import open_mask
from mudrock_cli.image.micrograph import open_micrograph


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    for seed, name in enumerate(["a", "deep/a"]):
        Image.fromarray(draw_noisy_grey((300, 360), seed)).save(folder / f"{name}.png")
    return folder


def propose(model: TrainedModel, *words: object) -> Result:
    return run("propose", *words, "--size", 128, "--pixel-size", "10nm", "--model", model.path)


def correct(label: Path) -> None:
    """Paint a mask as an image editor does, which may keep the description of the file."""
    image = Image.open(label)
    ImageDraw.Draw(image).rectangle((3, 3, 20, 20), fill=int(np.asarray(image)[5, 5] == 0))
    image.save(label)


def accept(label: Path) -> None:
    """Save a mask that is right as it is."""
    image = Image.open(label)
    image.load()
    image.save(label.with_suffix(".png"))
    label.unlink()


def test_tiles_lie_as_training_takes_them(
    images: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    out = tmp_path / "teach"
    result = propose(tiny_model, images, "--out", out, "--tiles", 4)
    assert result.exit_code == ExitCode.DONE, result.output
    lines = result.stdout.splitlines()
    assert " ".join(lines[0].split()) == "image unsure % pore % silt % range before new"
    assert " ".join(lines[4].split()) == "tile unsure % pore % silt % covers %"
    assert max(map(len, lines[:9])) <= 80
    assert lines[-1].startswith(f"4 tiles in {out}; correct and save the masks")
    pairs = pair_files(out).pairs
    assert len(pairs) == 4
    for pair in pairs:
        assert pair.image is not None
        assert open_micrograph(pair.image).shape == (128, 128)
        assert open_mask(pair.label).provenance["input"]["sha256"] == hash_file(pair.image)
    assert sorted(path.name for path in out.iterdir()) == ["images", "labels"]


def test_training_takes_what_was_saved_since_and_keeps_micrographs_whole(
    images: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    out, recipe = tmp_path / "teach", tiny_model.recipe.data
    propose(tiny_model, images, "--out", out, "--tiles", 6)
    with pytest.raises(MudrockError, match="no mask was corrected"):
        load_samples(out, recipe)
    labels = [pair.label for pair in pair_files(out).pairs]
    accept(labels[1])
    for label in labels[2:]:
        correct(label)
    data = load_samples(out, recipe)
    assert len(data.samples) == 5
    assert any(f"{labels[0].stem}: the mask still is the model's" in line for line in data.remarks)
    sources = find_sources(data.samples)
    assert {sources[sample.name] for sample in data.samples} == {"a", "deep/a"}
    for sample in data.samples:
        assert sources[sample.name] == sample.name.partition("_tile_")[0]


def test_a_second_run_proposes_other_tiles(
    images: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    words = images, "--out", tmp_path / "images" / "teach", "--tiles", 2, "--json"
    places = set()
    for run_number in range(2):
        result = propose(tiny_model, *words)
        assert result.exit_code == ExitCode.DONE, result.output
        found = [json.loads(line) for line in result.stdout.splitlines()]
        assert len(found) == 2  # the crops of the first run are no inputs of the second
        assert sum(line["tiles_labelled"] for line in found) == 2 * run_number
        assert found[0]["uncertainty"] >= found[1]["uncertainty"]
        for line in found:
            assert line["warnings"] == []
            for tile in line["tiles"]:
                assert Path(tile["image"]).is_file()
                assert (tile["width"], tile["height"]) == (128, 128)
                places.add((line["input"], tile["x"], tile["y"]))
    assert len(places) == 4


def test_a_corrected_tile_is_never_written_again(
    images: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    out = tmp_path / "teach"
    propose(tiny_model, images, "--out", out, "--tiles", 2)
    before = {}
    for pair in pair_files(out).pairs:
        correct(pair.label)
        before[pair.label] = pair.label.read_bytes()
    result = propose(tiny_model, images, "--out", out, "--tiles", 30)
    assert "more would overlap" in result.stdout
    assert {label: label.read_bytes() for label in before} == before
    result = propose(tiny_model, images, "--out", out)
    assert result.exit_code == ExitCode.DONE
    assert "no tile: each meets what is left out, or one from before" in result.stdout


def test_a_narrow_micrograph_is_one_tile(tmp_path: Path, tiny_model: TrainedModel) -> None:
    Image.fromarray(draw_noisy_grey((90, 110), 0)).save(tmp_path / "small.png")
    result = propose(tiny_model, tmp_path / "small.png", "--out", tmp_path / "teach", "--json")
    (tile,) = json.loads(result.stdout)["tiles"]
    assert (tile["width"], tile["height"], tile["covers"]) == (110, 90, 1)


def test_no_tile_meets_what_is_left_out(
    images: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    painted = np.zeros((300, 360), np.uint8)
    painted[:, 200:220] = 255
    (tmp_path / "painted").mkdir()
    Image.fromarray(painted).save(tmp_path / "painted" / "a.png")
    words = [images / "a.png", "--out", tmp_path / "teach", "--tiles", 20, "--json"]
    words += ["--crop", "10,20,350,280", "--exclude", tmp_path / "painted"]
    result = propose(tiny_model, *words)
    tiles = json.loads(result.stdout)["tiles"]
    assert len(tiles) >= 2
    for tile in tiles:
        assert tile["x"] >= 10
        assert tile["y"] >= 20
        assert tile["x"] + 128 <= 200 or tile["x"] >= 220
        assert open_mask(Path(tile["label"])).provenance["options"]["crop"] == "10,20,350,280"
    nothing = propose(tiny_model, *words[:3], "--tiles", 1, "--exclude", tmp_path)
    assert nothing.exit_code == ExitCode.USAGE
    assert "no image of the name of an input" in nothing.stderr


def test_bad_input_is_told_in_a_line(
    images: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    (images / "broken.tif").write_bytes(b"no image")
    words = images, "--out", tmp_path / "teach", "--model", tiny_model.path
    result = run("propose", *words)
    assert result.exit_code == ExitCode.SOME_FAILED
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 3
    assert f"{images / 'a.png'}: no pixel size in the file; give --pixel-size 10nm" in errors[0]
    assert "broken.tif" in errors[1]
    result = propose(tiny_model, images, "--out", tmp_path / "teach", "--json")
    assert result.exit_code == ExitCode.SOME_FAILED
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(line["input"]).name for line in found if "error" in line] == ["broken.tif"]
    assert sum(len(line.get("tiles", [])) for line in found) == 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "--out", "{out}"], "nowhere: no images found"),
        (["{out}/teach", "--out", "{out}/teach"], "nothing but proposed tiles of"),
        (["{out}/images/a.png", "--out", "{out}/images/a.png"], "a.png"),
        (["{out}/images/a.png", "--out", "{out}", "--model", "none"], "none"),
    ],
)
def test_wrong_usage_is_told_before_any_work(
    images: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    (tmp_path / "teach").mkdir()
    shutil.copy(images / "a.png", tmp_path / "teach" / f"{name_tile('a', 0, 0)}.png")
    result = run("propose", *(word.format(out=tmp_path) for word in words))
    assert result.exit_code == ExitCode.USAGE
    assert message in result.output
    assert not list(tmp_path.rglob("labels"))


def test_inputs_of_one_name_are_refused(
    images: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    words = images / "a.png", images / "deep" / "a.png", "--out", tmp_path / "teach"
    result = propose(tiny_model, *words)
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "its tiles would have the names of those of" in result.stderr
    assert not np.any([path.is_file() for path in (tmp_path / "teach").rglob("*")])
