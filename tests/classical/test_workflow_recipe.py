from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mudrock_cli.classical.filters import plan_background, plan_scales
from mudrock_cli.classical.recipe import (
    WorkflowRecipe,
    load_recipe,
)
from mudrock_cli.config import from_toml, list_packaged
from mudrock_cli.errors import MudrockError, UsageError

lengths = st.floats(1, 1e4)


def test_the_packaged_recipe_spells_out_every_default() -> None:
    assert load_recipe("groundtruth") == WorkflowRecipe()
    path = Path(load_recipe.__code__.co_filename).parent / "recipes" / "groundtruth.toml"
    text = path.read_text("utf-8")
    for section in asdict(WorkflowRecipe()).values():
        assert all(f"\n{key} = " in text for key in section)


def test_the_digest_is_of_values_not_of_writing() -> None:
    assert load_recipe("groundtruth").digest == WorkflowRecipe().digest
    names = list_packaged("mudrock_cli.classical")
    assert names == ["exact", "groundtruth", "threshold"]
    assert len({load_recipe(name).digest for name in names}) == len(names)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[pore]\ndark = 0.2", r"mine.toml: \[pore\] has no key dark"),
        ("[contrast]\nscales = 5", "contrast.scales cannot be 5"),
        ("[contrast]\nreach_nm = 0", "contrast.reach_nm cannot be 0"),
        ("[silt]\nrim_nm = -1", "silt.rim_nm cannot be -1"),
        ("[silt]\nrim_nm = 400", "silt.rim_nm cannot be 400"),
        ("[pore]\ndarkness = 20.5", "pore.darkness cannot be 20.5"),  # percent
        ("[pore]\ntolerance = 0.5", "pore.tolerance cannot be 0.5"),
        ("[background]\nblack_percent = 50", "background.black_percent cannot be 50"),
    ],
)
def test_what_a_recipe_cannot_be_is_said(text: str, message: str) -> None:
    with pytest.raises(MudrockError, match=message):
        from_toml(WorkflowRecipe, text, "mine.toml")


def test_recipe_files_that_cannot_be_read_are_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "picture.toml").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(UsageError, match="no text"):
        load_recipe(str(tmp_path / "picture.toml"))
    (tmp_path / "wrong.toml").write_text("[pore]\ndark = 1\n")
    with pytest.raises(UsageError, match="has no key dark"):
        load_recipe(str(tmp_path / "wrong.toml"))


@given(st.floats(0.5, 200))
def test_lengths_on_the_specimen_do_not_depend_on_the_pixel(pixel_nm: float) -> None:
    contrast = WorkflowRecipe().contrast
    for octave, scale in enumerate(plan_scales(contrast, pixel_nm)):
        wanted = contrast.reach_nm * 2**octave
        if wanted >= pixel_nm:  # a disc is one pixel at least
            assert scale.radius * scale.factor * pixel_nm == pytest.approx(wanted)
        assert scale.radius < 18
        assert scale.window % 2 == 1
        side = contrast.smooth_nm * 2**octave
        assert abs(scale.window * scale.factor * pixel_nm - side) <= scale.factor * pixel_nm
    background = plan_background(WorkflowRecipe().background, pixel_nm)
    assert background.window <= 41


def test_every_scale_costs_the_same() -> None:
    scales = plan_scales(WorkflowRecipe().contrast, 10.0)
    assert [(s.factor, s.window, s.radius) for s in scales] == [(1, 5, 9), (2, 5, 9), (4, 5, 9)]
