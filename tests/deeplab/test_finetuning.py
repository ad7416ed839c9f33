"""How few labels are halved, and how much of what they taught a model takes on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mudrock_cli.deeplab.dataset import Frame, Sample
from mudrock_cli.deeplab.recipe import Recipe, load_recipe
from mudrock_cli.errors import UsageError
from mudrock_cli.image.resample import deduplicate
from mudrock_cli.image.types import Phase, PixelSize

pytestmark = pytest.mark.network


class Deaf:
    """A watcher that hears nothing."""

    def on_step(self, *_: object) -> None:
        pass

    def on_epoch(self, *_: object) -> None:
        pass


def change(recipe: Recipe, **values: object) -> Recipe:
    return replace(recipe, training=replace(recipe.training, **values))  # type: ignore[arg-type]


def test_halves_of_the_labels_keep_what_lies_close_together(
    make_sample: Callable[..., Sample],
) -> None:
    from mudrock_cli.deeplab.finetuning import halve_labels

    def paint(sample: Sample, *columns: slice) -> Sample:
        labels = np.full_like(sample.labels, Phase.VOID)
        for place in columns:
            labels[:, place] = sample.labels[:, place]
        return replace(sample, labels=labels)

    near = paint(make_sample("a", (64, 200)), slice(0, 20), slice(50, 70))  # 30 pixels apart
    apart = paint(make_sample("b", (64, 200), 1), slice(0, 30), slice(80, 100))
    (teach, judge), (later, first) = halve_labels([near, apart])
    assert (first, later) == (teach, judge)
    assert [[sample.name for sample in part] for part in (teach, judge)] == [["a"], ["b"]]
    assert np.array_equal(teach[0].labels, near.labels)
    assert np.array_equal(judge[0].labels, apart.labels)
    (teach, judge), _ = halve_labels([apart])
    painted = [
        np.flatnonzero((part[0].labels != Phase.VOID).any(axis=0)) for part in (teach, judge)
    ]
    assert [(columns[0], columns[-1]) for columns in painted] == [(0, 29), (80, 99)]


def test_one_piece_or_a_crumb_beside_it_has_no_halves(make_sample: Callable[..., Sample]) -> None:
    from mudrock_cli.deeplab.finetuning import halve_labels

    sample = make_sample("a", (64, 200))
    assert halve_labels([sample]) == []
    crumb = np.full_like(sample.labels, Phase.VOID)
    crumb[:4, :4] = Phase.SILT
    assert halve_labels([sample, replace(sample, name="b", labels=crumb)]) == []


def test_duplicates_and_tiles_that_touch_are_in_one_half(
    make_sample: Callable[..., Sample],
) -> None:
    from mudrock_cli.deeplab.finetuning import halve_labels

    def place(name: str, seed: int) -> Sample:
        sample = make_sample(name, (64, 80), seed)
        micrograph = sample.micrograph(10.0)
        frame = Frame(deduplicate(micrograph), PixelSize(10.0, "test"))
        return replace(sample, source="m", frame=frame)

    def name_halves(*samples: Sample) -> list[list[str]]:
        return [[sample.name for sample in part] for part in halve_labels(samples)[0]]

    first = make_sample("a", (64, 80), 0)
    mirrored = replace(first, name="c", grey=first.grey[:, ::-1], labels=first.labels[:, ::-1])
    assert name_halves(first, make_sample("b", (64, 80), 1), mirrored) == [["a", "c"], ["b"]]
    names = ("m_tile_x0_y0", "m_tile_x80_y0", "m_tile_x300_y0", "m_tile_x0_y90")
    tiles = [place(name, seed) for seed, name in enumerate(names)]
    assert name_halves(*tiles) == [[names[0], names[1], names[3]], [names[2]]]


def test_a_start_is_pulled_back_to(
    make_sample: Callable[..., Sample], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    from mudrock_cli.deeplab.training import complete_recipe, train_network
    from mudrock_cli.deeplab.weights import Arrays, read_variables

    def travel(pull: float) -> float:
        loss = replace(tiny_recipe.loss, weight_decay=0.0, start_pull=pull)
        few = change(replace(tiny_recipe, loss=loss), epochs=1, keep_statistics=True)
        recipe = complete_recipe(few, [make_sample()])
        before: Arrays = {}
        (tmp_path / f"pull {pull:g}").mkdir()
        trained = train_network(
            recipe,
            [make_sample()],
            [],
            tmp_path / f"pull {pull:g}",
            lambda network: before.update(read_variables(network)),
            Deaf(),
        )
        moved = {name: np.abs(trained.weights[name] - before[name]).max() for name in before}
        assert all(far == 0 for name, far in moved.items() if "moving" in name)
        return float(max(moved.values()))

    assert travel(100.0) < travel(0.0)


@pytest.mark.parametrize(
    ("new", "old", "allowed", "share"),
    [
        (Phase.PORE, False, 0.01, 0.9),
        (Phase.CLAY, False, 0.01, 0.5),  # the largest with which clay is still seen
        (Phase.PORE, True, 0.01, 0.5),
        (Phase.PORE, True, 1.0, 0.9),
        (None, True, 0.01, 0.5),
        (None, False, 0.01, 0.9),
    ],
)
def test_new_and_old_labels_decide_how_much_is_taken_on(
    tiny_recipe: Recipe, new: Phase | None, old: bool, allowed: float, share: float
) -> None:
    """A start that sees clay everywhere is taught that all of it is pore."""
    from mudrock_cli.deeplab.finetuning import choose_blend
    from mudrock_cli.deeplab.network import build_network
    from mudrock_cli.deeplab.weights import read_variables

    network = build_network(tiny_recipe.network, 64, 64)
    start = {name: np.zeros_like(value) for name, value in read_variables(network).items()}
    learned = dict(start)
    start["phase_scores/bias"] = np.float32([5, 0, 0])
    learned["phase_scores/bias"] = np.float32([0, 0, 5])

    def plain(phase: Phase) -> list[Sample]:
        shape = (64, 64)
        return [Sample("a", "a", np.full(shape, 90, np.uint8), np.full(shape, phase, np.uint8))]

    blend = choose_blend(
        network,
        start,
        learned,
        [] if new is None else [(learned, plain(new))],
        plain(Phase.CLAY) if old else [],
        change(tiny_recipe, blend=0.9, loss_allowed=allowed),
    )
    assert blend.share == share
    assert bool(blend.new) == (new is not None)
    assert bool(blend.old) == old


def test_the_recipe_keeps_what_the_start_is() -> None:
    start = Recipe.from_dict(
        {
            "network": {"architecture": "unet", "encoder": "plain", "unet_channels": 8},
            "data": {"nm_per_pixel": 25.0, "tile": (0, 0), "normalise": True},
            "augment": {"blur": 0.5},
            "inference": {"tile": 64, "overlap": 16, "workflow": (1.0, 2.0, 3.0, 4.0)},
        }
    )
    recipe = load_recipe("finetune", ["training.epochs=3"], lambda: start)
    assert (recipe.network, recipe.augment) == (start.network, start.augment)
    assert recipe.inference == start.inference
    assert (recipe.data.nm_per_pixel, recipe.data.normalise) == (25.0, True)
    assert recipe.data.parts == (1.0, 0.0, 0.0)
    assert recipe.training.epochs == 3
    changed = load_recipe("finetune", ["inference.overlap=8"], lambda: start)
    assert changed.inference.overlap == 8
    with pytest.raises(UsageError, match="keeps the network"):
        load_recipe("finetune", ["network.unet_levels=2"], lambda: start)
