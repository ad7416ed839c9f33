from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mudrock_cli.config import list_packaged
from mudrock_cli.deeplab.recipe import Recipe, load_recipe
from mudrock_cli.errors import MudrockError, UsageError


def test_the_paper_is_the_default() -> None:
    assert load_recipe("paper") == Recipe()


@pytest.mark.parametrize("name", list_packaged("mudrock_cli.deeplab"))
def test_packaged_recipes_come_back_from_toml(name: str) -> None:
    recipe = load_recipe(name)
    assert Recipe.from_toml(recipe.to_toml()) == recipe


def test_the_unet_recipe_differs_from_fast_in_its_network_alone() -> None:
    fast, unet = load_recipe("fast").to_dict(), load_recipe("unet").to_dict()
    assert fast.pop("network") != unet.pop("network")
    assert fast == unet


@settings(deadline=None)
@given(
    rate=st.floats(1e-9, 10),
    crop=st.tuples(st.integers(32, 999), st.integers(32, 999)),
    low=st.floats(0.1, 1),
    high=st.floats(1, 10),
    flip=st.booleans(),
)
def test_any_recipe_comes_back_from_toml(
    rate: float, crop: tuple[int, int], low: float, high: float, flip: bool
) -> None:
    table = {
        "optimizer": {"rate": rate},
        "data": {"crop": crop},
        "augment": {"scale": (low, high), "flip_horizontal": flip},
    }
    recipe = Recipe.from_dict(table)
    assert Recipe.from_toml(recipe.to_toml()) == recipe
    assert recipe.optimizer.rate == rate


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"network": {"encoder": "vgg"}}, "network.encoder cannot be 'vgg'"),
        ({"network": {"encoder": "plain"}}, "network.encoder cannot be 'plain'"),
        ({"network": {"architecture": "unet"}}, "network.encoder cannot be 'resnet101'"),
        ({"network": {"output_stride": 12}}, "network.output_stride cannot be 12"),
        ({"network": {"rates": []}}, "network.rates cannot be"),
        ({"inference": {"adaptation": 0.6}}, "inference.adaptation is no longer supported"),
        ({"training": {"keep": "best"}}, "training.keep is no longer supported"),
        ({"network": {"layers": 3}}, "has no key layers"),
        ({"optimizer": {"rate": -1.0}}, "optimizer.rate cannot be -1.0"),
        ({"optimizer": {"rate": float("nan")}}, "optimizer.rate cannot be nan"),
        ({"optimizer": {"rate": "fast"}}, "optimizer.rate cannot be 'fast'"),
        ({"augment": {"scale": [1.2, 0.8]}}, r"augment.scale cannot be \[1.2, 0.8\]"),
        ({"augment": {"scale": [1.0]}}, r"augment.scale cannot be \[1.0\]"),
        ({"data": {"parts": [0.7, 0.7, 0.1]}}, "data.parts cannot be"),
        ({"data": {"parts": [0.0, 0.5, 0.5]}}, "data.parts cannot be"),
        ({"data": {"tile": [0, 400]}}, "data.tile cannot be"),
        ({"data": {"crop": [8, 8]}}, "data.crop cannot be"),
        ({"loss": {"class_weights": [0, 0, 0]}}, "loss.class_weights cannot be"),
        ({"training": {"precision": "int8"}}, "training.precision cannot be 'int8'"),
        ({"training": {"batch": True}}, "training.batch cannot be True"),
        ({"inference": {"tile": 500}}, "inference.tile cannot be 500"),
        ({"inference": {"overlap": 512}}, "inference.overlap cannot be 512"),
        ({"forest": {"trees": 3}}, "forest cannot be"),
        ({"networks": {}}, "has no key networks"),
        ({"network": 3}, "must be a table"),
    ],
)
def test_what_makes_no_sense_is_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(MudrockError, match=message):
        Recipe.from_dict(table)


def test_keys_of_earlier_versions_are_read_and_named_where_they_asked_for_something() -> None:
    table = {
        "data": {"crop": (64, 64), "phantoms": 0, "phantom_share": 0.25},
        "training": {"seed": 3, "patience": 0, "keep": "last", "batch_norm_steps": 0},
        "inference": {"flips": 1, "zooms": [1.0], "close_ups": (), "adaptation": 0.0},
    }
    recipe = Recipe.from_dict(table)
    assert recipe == Recipe.from_dict({"data": {"crop": (64, 64)}, "training": {"seed": 3}})
    table["inference"] |= {"close_ups": [1.0, 2.0], "adaptation": 0.6}
    table["network"] = {"dropout": 0.1}
    ignored: list[str] = []
    assert Recipe.from_dict(table, "old", ignored) == recipe
    assert ignored == ["network.dropout", "inference.adaptation", "inference.close_ups"]


def test_settings_override_a_recipe() -> None:
    settings = ["optimizer.rate=0.5", "network.encoder=resnet50", "data.crop=[64, 96]"]
    recipe = load_recipe("fast", settings)
    assert (recipe.optimizer.rate, recipe.network.encoder) == (0.5, "resnet50")
    assert recipe.data.crop == (64, 96)


@pytest.mark.parametrize("setting", ["rate=1", "optimizer.rate", "=3", "optimizer.=3", ".rate=1"])
def test_a_setting_that_cannot_be_read_is_a_usage_error(setting: str) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_recipe("fast", [setting])


def test_a_recipe_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no recipe of this name"):
        load_recipe("slow")
    broken = tmp_path / "broken.toml"
    broken.write_text("[network", "utf-8")
    with pytest.raises(MudrockError, match="not valid TOML"):
        load_recipe(str(broken))
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        load_recipe(str(broken))
