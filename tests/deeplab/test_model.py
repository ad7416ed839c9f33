import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mudrock_cli
from mudrock_cli.deeplab import model as models
from mudrock_cli.deeplab.model import TrainedModel, load_model, seal_model
from mudrock_cli.errors import MudrockError, UsageError


@pytest.fixture
def folder(tmp_path: Path, tiny_model: TrainedModel) -> Path:
    return Path(shutil.copytree(tiny_model.path, tmp_path / "copy"))


def edit_card(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    card = json.loads((folder / "card.json").read_text("utf-8"))
    change(card)
    (folder / "card.json").write_text(json.dumps(card), "utf-8")


def test_a_folder_comes_back_as_it_was_sealed(folder: Path, tiny_model: TrainedModel) -> None:
    model = load_model(str(folder))
    assert model.name == "copy"
    assert model.recipe == tiny_model.recipe
    assert model.nm_per_pixel == 10
    assert model.scale_range == (0.8, 1.25)
    assert model.compiled == folder / "cpu.xml"
    assert model.digest == tiny_model.digest  # the folder's name decides nothing


def test_the_digest_follows_whatever_decides_the_prediction(folder: Path) -> None:
    digests = {load_model(str(folder)).digest, seal_model(folder, {"temperature": 1.5}).digest}
    np.savez(folder / "weights.npz", nothing=np.ones(1, np.float16))
    digests.add(seal_model(folder, {"temperature": 1.5}).digest)
    assert len(digests) == 3
    assert seal_model(folder, {"temperature": 1.5, "note": "x"}).digest in digests


@pytest.mark.parametrize("name", ["recipe.toml", "weights.npz", "cpu.xml", "cpu.bin"])
def test_a_file_that_is_not_what_the_card_says_is_refused(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(MudrockError, match=f"{name}: is not the file that card.json describes"):
        load_model(str(folder))
    (folder / name).unlink()
    with pytest.raises(MudrockError, match=f"{name}: no such file"):
        load_model(str(folder))


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "weights.pkl"])
def test_only_known_files_may_stand_on_a_card(folder: Path, name: str) -> None:
    edit_card(folder, lambda card: card["sha256"].update({name: "0"}))
    with pytest.raises(MudrockError, match=r"card\.json: names "):
        load_model(str(folder))


def test_a_card_must_name_recipe_weights_and_both_halves_of_the_network(folder: Path) -> None:
    edit_card(folder, lambda card: card["sha256"].pop("cpu.bin"))
    with pytest.raises(MudrockError, match=r"names only one of cpu\.xml and cpu\.bin"):
        load_model(str(folder))
    edit_card(folder, lambda card: card["sha256"].pop("weights.npz"))
    edit_card(folder, lambda card: card["sha256"].pop("cpu.xml"))
    with pytest.raises(MudrockError, match=r"lacks weights\.npz"):
        load_model(str(folder))


@pytest.mark.parametrize("card", ["", "[]", "{}", '{"sha256": []}', "\x00"])
def test_a_card_that_is_none_is_refused(folder: Path, card: str) -> None:
    (folder / "card.json").write_text(card, "utf-8")
    with pytest.raises(MudrockError, match=r"card\.json"):
        load_model(str(folder))


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf"), "1", None])
@pytest.mark.parametrize("key", ["temperature", "confidence_temperature"])
def test_a_temperature_must_be_a_positive_number(
    folder: Path, key: str, temperature: object
) -> None:
    edit_card(folder, lambda card: card.update({key: temperature}))
    with pytest.raises(MudrockError, match=f"the {key.replace('_', ' ')} .* is no number"):
        load_model(str(folder))


def test_what_softens_confidences_is_a_part_of_the_model(folder: Path) -> None:
    plain = load_model(str(folder))
    assert plain.confidence_temperature == 1
    facts = {"temperature": plain.temperature, "confidence_temperature": 1.4}
    soft = seal_model(folder, facts)
    assert soft.confidence_temperature == 1.4
    assert soft.digest != plain.digest


def test_a_model_of_an_earlier_version_is_read_and_says_what_it_no_longer_does(
    folder: Path, tiny_model: TrainedModel
) -> None:
    recipe = folder / "recipe.toml"
    text = recipe.read_text("utf-8").replace(
        "[inference]", "[inference]\nadaptation = 0.6\nflips = 1"
    )
    recipe.write_text(text.replace("[network]", "[network]\ndropout = 0.1"), "utf-8")
    model = seal_model(folder, {})
    assert model.recipe == tiny_model.recipe
    assert "inference.adaptation of an earlier version are no longer supported" in model.warning
    assert "dropout" not in model.warning  # it decided the training, and no mask
    assert tiny_model.warning == ""


def test_a_damaged_recipe_is_refused(folder: Path) -> None:
    (folder / "recipe.toml").write_text("[network]\nlayers = 3\n", "utf-8")
    with pytest.raises(MudrockError, match=r"recipe\.toml.* has no key layers"):
        seal_model(folder, {})


@pytest.mark.parametrize("name", ["nothing", "../models/kumano/..", "", "/"])
def test_a_name_that_is_no_model_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match="no model of this name"):
        load_model(name)


def test_models_lie_in_the_package_or_beside_it_in_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "mudrock_cli"
    package.mkdir(parents=True)
    monkeypatch.setattr(mudrock_cli, "__file__", str(package / "__init__.py"))
    (tmp_path / "site" / "models").mkdir()  # somebody else's package
    assert models.models_folder() == package / "models"
    (tmp_path / "site" / "pyproject.toml").touch()
    assert models.models_folder() == tmp_path / "site" / "models"
    (package / "models").mkdir()
    assert models.models_folder() == package / "models"


def test_all_models_that_ship_are_whole() -> None:
    for name in models.list_models():
        assert load_model(name).compiled is not None


def test_a_mask_tells_how_its_model_did_on_what_it_had_not_seen(tiny_model: TrainedModel) -> None:
    assert tiny_model.describe() == {"name": "tiny", "sha256": tiny_model.digest}
    rows = [{"porosity_error_points": error, "silt_error_points": 2.0} for error in (-1.0, 2.0)]
    card = dict(tiny_model.card) | {"judged": {"on": "some", "images": rows}}
    described = replace(tiny_model, card=card).describe()
    assert described["held_out"]["images"] == 2
    assert described["held_out"]["porosity_error_points"] == 1.5
    assert described["held_out"]["iou"] == card["iou"]
    del rows[0]["silt_error_points"]
    assert "silt_error_points" not in replace(tiny_model, card=card).describe()["held_out"]


@pytest.mark.parametrize("judged", [None, 3, [], {"images": None}, {"images": [1, "a"]}])
def test_a_card_without_held_out_images_is_of_no_judged_model(
    tiny_model: TrainedModel, judged: object
) -> None:
    card = dict(tiny_model.card) | {"judged": judged}
    assert "held_out" not in replace(tiny_model, card=card).describe()
