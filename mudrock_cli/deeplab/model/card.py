"""The card of a model: what it was trained on, how well it does, what it is not for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mudrock_cli.deeplab.model.domain import MARGIN
from mudrock_cli.deeplab.recipes.recipe import Recipe
from mudrock_cli.image.appearance import COARSE, FINE, MIDDLE

_PHASES = ("clay", "silt", "pore")
_LEAK = (
    "**The figures below are too good.** Files of one micrograph stand on both sides of the split "
    "(as in the paper), so the network was judged on places that it had seen."
)


def describe_model(name: str, recipe: Recipe, facts: Mapping[str, Any]) -> str:
    """Write ``card.md``.

    Parameters
    ----------
    name : str
        Of the model.
    recipe : Recipe
        What it was trained by.
    facts : mapping
        What stands in ``card.json``. Known keys, all optional: ``summary`` (a sentence), ``data``
        (``name``, ``split``, ``parts``: of each part its ``parents``, ``files``, ``megapixels``),
        ``leaks`` (parents on two sides), ``judged`` (``on`` and ``images``: dicts of ``name``,
        ``part``, ``pixel_accuracy``, ``iou_clay``, ...), ``iou`` (by phase), ``pixel_accuracy``,
        ``calibration`` (``error_before``, ``error_after``), ``temperature``, ``domain``
        (see `span_domain`), ``training`` (any figures), ``limits``, ``licence``, ``citation``.

    Returns
    -------
    str
        Markdown.
    """
    low, high = (recipe.data.nm_per_pixel * factor for factor in recipe.augment.scale)
    lines = [f"# {name}", ""]
    lines += [facts["summary"], ""] if facts.get("summary") else []
    lines += [
        f"Phases: clay, silt, pore. Trained at {recipe.data.nm_per_pixel:g} nm per pixel, shown "
        f"{low:g} to {high:g} nm; `mudrock segment` resamples other micrographs and back.",
        "",
        *_describe_data(facts),
        *_describe_figures(facts),
        *_describe_calibration(facts),
        *_describe_domain(recipe, facts),
        *_describe_training(recipe, facts),
        *_list_section("Limits", facts.get("limits", ())),
        *_list_section("Licence", [facts["licence"]] if facts.get("licence") else []),
        *_list_section("Citation", [facts["citation"]] if facts.get("citation") else []),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _describe_data(facts: Mapping[str, Any]) -> Iterator[str]:
    data = facts.get("data")
    if not data:
        return
    yield from ("## Data", "")
    yield f"`{data['name']}`, split by {_SPLITS.get(data['split'], data['split'])}."
    yield ""
    yield from ("| part | parents | files | megapixels |", "| --- | --- | ---: | ---: |")
    for part, what in data["parts"].items():
        parents = what["parents"]
        shown = ", ".join(parents[:12]) + (f" and {len(parents) - 12} more" * (len(parents) > 12))
        yield f"| {part} | {shown} | {what['files']} | {what['megapixels']:.2f} |"
    yield ""


_SPLITS = {
    "parents": "parent: no micrograph stands on two sides",
    "folds": "parent, each held out once; the model itself was trained on all of them",
    "file": "a file that was given",
    "paper": "chance, file by file, as the paper did",
    "all": "none: everything was trained on",
}


def _describe_figures(facts: Mapping[str, Any]) -> Iterator[str]:
    judged: Mapping[str, Any] = facts.get("judged") or {}
    iou: Mapping[str, Any] = facts.get("iou") or {}
    yield from ("## Figures", "")
    if not iou:
        yield from ("None: nothing was held out to judge this model on.", "")
        return
    if facts.get("leaks"):
        yield from (_LEAK, "")
    yield f"Pooled over the pixels of {judged.get('on', 'what was held out')}."
    yield ""
    yield "| | pixel accuracy | " + " | ".join(f"IoU {phase}" for phase in _PHASES) + " |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    rows: Sequence[Mapping[str, Any]] = judged.get("images", ())
    for row in rows if len(rows) <= 24 else ():
        title = f"{row['name']} ({row['part']})" if row.get("part") else row["name"]
        yield _row(title, row["pixel_accuracy"], [row.get(f"iou_{p}") for p in _PHASES])
        given = row.get("as_given")
        if given:
            title = f"{row['name']}, labels as they came"
            yield _row(title, given["pixel_accuracy"], [given.get(f"iou_{p}") for p in _PHASES])
    yield _row("**pooled**", facts.get("pixel_accuracy"), [iou.get(p) for p in _PHASES])
    yield ""


def _row(title: str, accuracy: float | None, iou: Sequence[float | None]) -> str:
    cells = ["–" if value is None else f"{value:.3f}" for value in (accuracy, *iou)]
    return f"| {title} | {' | '.join(cells)} |"


def _describe_calibration(facts: Mapping[str, Any]) -> Iterator[str]:
    found = facts.get("calibration")
    if not found:
        return
    yield from ("## Calibration", "")
    yield (
        f"Logits are divided by a temperature of {facts['temperature']:.3f}, fitted on "
        f"{found['pixels']:,} pixels of what was held out: expected calibration error "
        f"{found['error_before']:.4f} before, {found['error_after']:.4f} after."
    )
    yield ""


def _describe_domain(recipe: Recipe, facts: Mapping[str, Any]) -> Iterator[str]:
    if not facts.get("domain"):
        return
    fine, middle, coarse = (lag * recipe.data.nm_per_pixel for lag in (FINE, MIDDLE, COARSE))
    meanings = {
        "doubt": "mean entropy of the phases' probabilities: 0 certain, 1 knows nothing",
        "fine_texture": f"growth of grey differences from {fine:g} to {middle:g} nm: "
        "0 noise, 2 smooth",
        "coarse_texture": f"the same from {middle:g} to {coarse:g} nm",
        "texture_bend": "the first less the second",
        "grey_skew": "-1 dark stands out, 1 bright stands out",
    }
    yield from ("## Domain", "")
    yield (
        f"What the training micrographs span, widened by {MARGIN:g} of its width at either end. "
        "`mudrock segment` marks micrographs outside."
    )
    yield ""
    yield from ("| figure | from | to | |", "| --- | ---: | ---: | --- |")
    for name, limits in facts["domain"].items():
        span = f"{limits['low']:.2f} | {limits['high']:.2f}"
        yield f"| {name.replace('_', ' ')} | {span} | {meanings.get(name, '')} |"
    yield ""


def _describe_training(recipe: Recipe, facts: Mapping[str, Any]) -> Iterator[str]:
    yield from ("## Training", "")
    network, training = recipe.network, recipe.training
    if network.architecture == "forest":
        yield "A random forest on filter responses: `recipe.toml`."
    else:
        yield (
            f"{network.architecture}, encoder {network.encoder}; {training.epochs} epochs of "
            f"{training.steps_per_epoch} steps, batch {training.batch}, {training.precision}. "
            "All of it: `recipe.toml`."
        )
    yield ""
    for key, value in (facts.get("training") or {}).items():
        yield f"- {key.replace('_', ' ')}: {f'{value:g}' if isinstance(value, float) else value}"
    yield ""


def _list_section(title: str, items: Sequence[str]) -> Iterator[str]:
    if items:
        yield from (f"## {title}", "")
        yield from (f"- {item}" for item in items)
        yield ""
