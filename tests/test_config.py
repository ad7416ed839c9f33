from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mudrock_cli.config import (
    from_dict,
    from_toml,
    list_packaged,
    read_packaged,
    setting,
    to_toml,
)
from mudrock_cli.errors import MudrockError, UsageError


@dataclass(frozen=True)
class Network:
    rate: float = setting(0.5, "of learning", low=1e-9, high=10)
    steps: int = setting(3, "of training", low=0)
    name: str = setting("plain", "of the network", choices=("plain", "deep"))
    mirrored: bool = setting(True, "whether mirror images are learnt from")
    crop: tuple[int, int] = setting((32, 64), "rows, columns", low=8, high=999)
    zooms: tuple[float, ...] = setting((1.0,), "magnifications", low=0, high=9, length=(1, 3))


@dataclass(frozen=True)
class Whole:
    network: Network = field(default_factory=Network)
    other: dict[str, Any] = field(default_factory=dict)

    def find_conflicts(self) -> Iterator[tuple[str, Any, str]]:
        if self.network.rate > self.network.steps:
            yield "network.rate", self.network.rate, "up to steps"


networks = st.builds(
    Network,
    rate=st.floats(1e-9, 1),
    steps=st.integers(1, 1 << 60),
    name=st.sampled_from(["plain", "deep"]),
    mirrored=st.booleans(),
    crop=st.tuples(st.integers(8, 999), st.integers(8, 999)),
    zooms=st.lists(st.floats(0, 9), min_size=1, max_size=3).map(tuple),
)
free_tables = st.dictionaries(st.text(st.characters(codec="ascii"), min_size=1), st.integers(0, 9))


@given(st.builds(Whole, networks, free_tables))
def test_any_recipe_comes_back_from_toml(recipe: Whole) -> None:
    assert from_toml(Whole, to_toml(recipe), "mine.toml") == recipe


def test_what_is_left_out_keeps_its_default() -> None:
    assert from_toml(Whole, "", "mine.toml") == Whole()
    assert from_dict(Network, {"steps": 4, "rate": 1}, "mine.toml", "network").rate == 1.0


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[network", "mine.toml is not valid TOML", ""),
        ("[networks]", "mine.toml has no key networks", "known: network, other"),
        ("network = 3", r"mine.toml: \[network\] must be a table", ""),
        ("other = 3", r"mine.toml: \[other\] must be a table", ""),
        ("[network]\nlayers = 1", r"mine.toml: \[network\] has no key layers", "known: rate, st"),
        ("[network]\nrate = 'fast'", "network.rate cannot be 'fast'", "a number from 1e-09 up to"),
        ("[network]\nrate = true", "network.rate cannot be True", "10 (of learning)"),
        ("[network]\nrate = nan", "network.rate cannot be nan", "a number from"),
        ("[network]\nrate = -1", "network.rate cannot be -1", "a number from"),
        ("[network]\nrate = 4", "network.rate cannot be 4.0", "allowed: up to steps"),
        ("[network]\nsteps = 2.0", "network.steps cannot be 2.0", "a whole number from 0 (of t"),
        ("[network]\nname = 'odd'", "network.name cannot be 'odd'", "one of: plain, deep (of"),
        ("[network]\nname = 1", "network.name cannot be 1", "one of: plain, deep"),
        ("[network]\nmirrored = 1", "network.mirrored cannot be 1", "allowed: true or false"),
        ("[network]\ncrop = [8]", r"network.crop cannot be \[8\]", "a list of 2, each a whole"),
        ("[network]\ncrop = [8, 7]", r"network.crop cannot be \[8, 7\]", "from 8 up to 999"),
        ("[network]\ncrop = 8", "network.crop cannot be 8", "a list of 2"),
        ("[network]\nzooms = []", r"network.zooms cannot be \[\]", "a list of 1 to 3, each a num"),
        ("[network]\nzooms = [1, 1, 1, 1]", "network.zooms cannot be", "a list of 1 to 3"),
    ],
)
def test_what_is_not_allowed_is_told_with_what_is(text: str, message: str, hint: str) -> None:
    with pytest.raises(MudrockError, match=message) as caught:
        from_toml(Whole, text, "mine.toml")
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint


def test_packaged_recipes_are_read_by_name_and_others_by_path(tmp_path: Path) -> None:
    package = "mudrock_cli.classical"
    assert "exact" in list_packaged(package)
    text, source = read_packaged(package, "exact")
    assert "[pore]" in text
    assert source == "recipe exact"
    mine = tmp_path / "mine.toml"
    mine.write_text(text, "utf-8")
    assert read_packaged(package, str(mine)) == (text, str(mine))
    with pytest.raises(UsageError, match="no recipe of this name") as caught:
        read_packaged(package, "exakt")
    assert "one of: exact, groundtruth, threshold" in caught.value.hint
    with pytest.raises(UsageError, match="not a file"):
        read_packaged(package, str(tmp_path))
