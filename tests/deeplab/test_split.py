import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mudrock_cli.deeplab.dataset import Sample, name_source, name_tile
from mudrock_cli.deeplab.split import (
    PARTS,
    find_sources,
    read_split,
    split_by_source,
    split_in_folds,
    split_like_the_paper,
    write_split,
)
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.labels import encode_set
from mudrock_cli.image.types import Phase

PAPER = (0.7, 0.15, 0.15)


def noise(name: str, seed: int, side: int = 16) -> Sample:
    grey = np.random.default_rng(seed).integers(0, 256, (side, side)).astype(np.uint8)
    return Sample(name, name_source(name), grey, np.zeros_like(grey), (f"i{seed}", f"l{seed}"))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("11_4_b", "11"),
        ("deep/11_4_b", "deep/11"),
        ("kumano_11", "kumano_11"),
        ("a_b_c", "a_b_c"),
        (name_tile("deep/kumano_11", 512, 0), "deep/kumano_11"),
        (name_tile(name_tile("11_4_b", 512, 0), 64, 7), "11"),
        ("stage_x512_y0", "stage_x512_y0"),
    ],
)
def test_a_tile_tells_its_source_by_its_name(name: str, source: str) -> None:
    assert name_source(name) == source


@settings(max_examples=40, deadline=None)
@given(
    tiles=st.lists(st.integers(1, 6), min_size=2, max_size=9),
    sides=st.lists(st.sampled_from([16, 24, 48]), min_size=9, max_size=9),
    shares=st.sampled_from([PAPER, (0.5, 0.5, 0.0), (0.8, 0.0, 0.2)]),
    seed=st.integers(0, 5),
)
def test_no_source_stands_on_two_sides(
    tiles: list[int], sides: list[int], shares: tuple[float, float, float], seed: int
) -> None:
    samples = [
        noise(f"{source}_{tile}_a", 100 * source + tile, sides[source])
        for source, count in enumerate(tiles)
        for tile in range(count)
    ]
    split = split_by_source(samples, shares, seed)
    assert not split.leaking_sources()
    assert set(split.part) == {sample.name for sample in samples}
    wanted = [part for part, share in zip(PARTS, shares, strict=True) if share]
    for part in wanted[: len(tiles)]:
        assert split.choose(samples, part), part
    assert split == split_by_source(samples[::-1], shares, seed)
    folds = split_in_folds(samples, 2, seed)
    held = [name for fold in folds for name in fold.part if fold.part[name] == "test"]
    assert sorted(held) == sorted(split.part)
    assert not any(fold.leaking_sources() for fold in folds)


def test_large_sources_follow_the_shares() -> None:
    samples = [noise(f"p{i}", i, 32) for i in range(20)]
    split = split_by_source(samples, PAPER, 0)
    assert [len(split.choose(samples, part)) for part in PARTS] == [14, 3, 3]


def test_a_source_whose_labels_leave_phases_open_trains() -> None:
    samples = [noise(f"p{i}", i, 32) for i in range(4)]
    pores = np.full((64, 64), encode_set((Phase.CLAY, Phase.SILT)))
    samples.append(dataclasses.replace(noise("pores", 9, 64), labels=pores.astype(np.uint8)))
    split = split_by_source(samples, (0.6, 0.2, 0.2), 0)
    assert "pores" in split.sources("train")
    assert split.sources("validation")
    assert split.sources("test")
    assert split_by_source(samples[3:], PAPER, 0).part == {"p3": "validation", "pores": "train"}
    folds = split_in_folds(samples, 2, 0)
    held = [name for fold in folds for name in fold.sources("test")]
    assert sorted(held) == ["p0", "p1", "p2", "p3"]
    assert all("pores" in fold.sources("train") for fold in folds)
    with pytest.raises(MudrockError, match="5 folds need as many sources that tell the phases"):
        split_in_folds(samples, 5, 0)
    alike = [dataclasses.replace(sample, labels=sample.labels + 131) for sample in samples[:4]]
    assert split_by_source(alike, PAPER, 0).part == split_by_source(samples[:4], PAPER, 0).part


def test_copies_are_found_by_content_whatever_they_are_called(
    make_sample: Callable[..., Sample],
) -> None:
    rng = np.random.default_rng(0)
    one, other = make_sample("one", seed=1), make_sample("other", seed=2)

    def copy(name: str, grey: np.ndarray) -> Sample:
        array = np.ascontiguousarray(grey)
        return dataclasses.replace(one, name=name, source=name, grey=array, labels=array * 0)

    changed = np.clip(
        1.3 * (one.grey.astype(float) - 90) + 70 + rng.normal(0, 5, (96, 128)), 0, 255
    )
    samples = [
        one,
        other,
        copy("mirrored", one.grey[:, ::-1]),
        copy("turned", np.rot90(one.grey)),
        copy("brighter", changed.astype(np.uint8)[::-1]),
    ]
    source = find_sources(samples)
    assert len({source[name] for name in ("one", "mirrored", "turned", "brighter")}) == 1
    assert source["other"] == "other"
    with pytest.raises(MudrockError, match="the one source of all 2 files"):
        split_by_source([samples[0], samples[2]], PAPER, 0)


def test_crops_that_overlap_are_one_source() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (60, 80))
    image = np.kron(coarse, np.ones((8, 8))).astype(np.uint8)  # 480 × 640

    def crop(name: str, top: int, left: int, height: int = 256, width: int = 256) -> Sample:
        grey = image[top : top + height, left : left + width]
        return Sample(name, name, grey, np.zeros_like(grey))

    crops = [crop("a", 0, 0), crop("b", 101, 77), crop("c", 0, 380), crop("d", 219, 377)]
    source = find_sources(crops)
    assert source["a"] == source["b"]  # they share more than half
    assert len({source[name] for name in "acd"}) == 3  # these touch or share a strip
    whole = crop("whole", 0, 0, 480, 640)
    assert len(set(find_sources([*crops, whole]).values())) == 1


def test_flat_pictures_are_not_taken_for_copies() -> None:
    flat = [
        Sample(
            f"f{level}", f"f{level}", np.full((8, 8), level, np.uint8), np.zeros((8, 8), np.uint8)
        )
        for level in (10, 20, 30)
    ]
    assert len(set(find_sources(flat).values())) == 3


def test_a_single_source_is_refused_with_what_to_do() -> None:
    samples = [noise("11_1_a", 1), noise("11_2_a", 2)]
    with pytest.raises(MudrockError, match="11 is the one source of all 2 files") as caught:
        split_by_source(samples, PAPER, 0)
    assert "data.parts=[1,0,0]" in caught.value.hint
    with pytest.raises(MudrockError, match="2 folds need as many sources, the data has 1"):
        split_in_folds(samples, 2, 0)


def test_the_papers_split_leaks_and_knows_it() -> None:
    samples = [noise(f"{p}_{t}_{v}", 9 * p + t) for p in range(4) for t in range(5) for v in "abc"]
    split = split_like_the_paper(samples, PAPER, 0, {})
    assert [len(split.choose(samples, part)) for part in PARTS] == [42, 9, 9]
    assert split.leaking_sources() == ["0", "1", "2", "3"]
    sets = {"train": [s.name for s in samples[:50]], "val": [s.name for s in samples[50:55]]}
    sets["test"] = [s.name for s in samples[55:]]
    given = split_like_the_paper(samples, PAPER, 0, sets)
    assert [len(given.choose(samples, part)) for part in PARTS] == [50, 5, 5]


def test_lists_of_files_hold_for_what_the_papers_recipe_makes_of_them() -> None:
    made = ("11_1_a", "11_1_a_1_a", "11_1_a_1_c", "11_1_a_1_b_d7", "12_2_a_1_a", "12_2_a_3_b")
    sets = {"train": ["11_1_a"], "val": [], "test": ["12_2_a"]}
    split = split_like_the_paper([noise(name, 1) for name in made], PAPER, 0, sets)
    assert list(split.part.values()) == ["train"] * 4 + ["test"] * 2


def test_a_recorded_split_can_be_given_again(tmp_path: Path) -> None:
    samples = [noise(f"{p}_{t}_a", 9 * p + t) for p in range(5) for t in range(2)]
    split = split_by_source(samples, PAPER, 3)
    write_split(tmp_path / "split.csv", split, samples)
    again = read_split(tmp_path / "split.csv", samples)
    assert (again.part, again.source) == (split.part, split.source)
    changed = [dataclasses.replace(samples[0], files=("other", "l0")), *samples[1:]]
    with pytest.raises(MudrockError, match=r"0_0_a: is not the file that .* recorded"):
        read_split(tmp_path / "split.csv", changed)


def test_a_split_may_name_sources(tmp_path: Path) -> None:
    samples = [noise(f"{p}_{t}_a", 9 * p + t) for p in range(2) for t in range(2)]
    path = tmp_path / "s.csv"
    path.write_text("name,part\n0,train\n1.tif,test\n", "utf-8")
    assert len(read_split(path, samples).choose(samples, "test")) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no part of an image"),
        ("name,part\n", "names no part of an image"),
        ("name,part\n0_0_a,training\n", "part 'training' is unknown"),
        ("part\ntrain\n", "names no part of an image"),
        ("name,part\n0_0_a,train\n", "has no row for 1_0_a"),
        ("name,part\n0,test\n1,test\n", "gives no file to train"),
        ("\x00\x00", "names no part of an image"),
    ],
)
def test_a_split_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "s.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(MudrockError, match=message):
        read_split(path, [noise("0_0_a", 1), noise("1_0_a", 2)])
