"""``mudrock models``: what ships, with the figures of its card."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from mudrock_cli.deeplab.model import TrainedModel


_PHASES = ("clay", "silt", "pore")


def models(
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON line per model, with its whole card.")
    ] = False,
) -> None:
    """List the models that ship, with the figures of their cards.

    IoU is measured on micrographs that the network was not trained on; the card.md in a model's
    folder tells on which, and what the model's limits are.
    """
    from mudrock_cli.commands.console import make_table, print_table
    from mudrock_cli.deeplab.model import DEFAULT_MODEL, list_models, load_model, models_folder

    found = [load_model(name) for name in list_models()]
    if as_json:
        for model in found:
            line = {"name": model.name, "nm_per_pixel": model.nm_per_pixel, **model.card}
            typer.echo(json.dumps(line, ensure_ascii=False))
        return
    iou = (f"IoU {phase}" for phase in _PHASES)
    table = make_table("model", ("encoder", "nm/px", "trained for", *iou, "MB"))
    table.columns[1].justify = "left"
    for model in found:
        name = f"{model.name} *" if model.name == DEFAULT_MODEL else model.name
        table.add_row(name, *_row(model))
    print_table(table, f"* default; folders and cards: {models_folder()}")


def _row(model: "TrainedModel") -> list[str]:
    low, high = model.scale_range
    iou: Mapping[str, Any] = model.card.get("iou") or {}
    size = sum(path.stat().st_size for path in model.path.iterdir() if path.is_file())
    return [
        model.recipe.network.encoder,
        f"{model.nm_per_pixel:g}",
        f"{model.nm_per_pixel * low:.3g}–{model.nm_per_pixel * high:.3g}",
        *("–" if iou.get(phase) is None else f"{iou[phase]:.3f}" for phase in _PHASES),
        f"{size / 1e6:.1f}",
    ]
