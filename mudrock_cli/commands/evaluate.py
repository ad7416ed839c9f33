"""``mudrock evaluate``: how good masks are, against labels."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.text import Text

from mudrock_cli.commands.comparison.methods import open_methods
from mudrock_cli.commands.comparison.scoring import (
    ScoreOptions,
    parse_length,
    parse_tolerance,
    score_all,
)
from mudrock_cli.errors import ExitCode, MudrockError, UsageError


def evaluate(
    subject: Annotated[
        str,
        typer.Argument(metavar="MODEL_OR_MASKS", help="A model (name or folder), or masks."),
    ],
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="Folder with images/ and labels/, or of label masks alone."
        ),
    ],
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="MASKS", help="Compare with these masks or this model; repeatable."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for Parquet, figure, triptychs, masks.")
    ] = None,
    tolerance: Annotated[
        str, typer.Option(help="For outlines: 3px, 30nm.", metavar="LENGTH")
    ] = "3px",
    min_pixels: Annotated[
        int, typer.Option(min=1, help="Smallest grain or pore that is matched.")
    ] = 10,
    pixel_size: Annotated[
        str | None, typer.Option(help="Overrides the files: 10nm, 0.01um.", metavar="LENGTH")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="CSV of name,part: train, validation, test.")
    ] = None,
    engine: Annotated[
        Literal["auto", "openvino", "keras"], typer.Option(help="What runs a model.")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="A JSON line per row.")] = False,
) -> None:
    """Measure masks, or the masks that a model makes, against labels.

    Pixel accuracy and IoU, outlines, objects, and the errors of porosity, silt fraction and sizes;
    per image, averaged over images and pooled. Only pixels with a label count. A phase that an
    image has in neither truth nor prediction is left out of the mean, and that is said.
    """
    from mudrock_cli.image.pairs import find_pairs
    from mudrock_cli.measure.scoring.score_table import tabulate_scores

    size = parse_length(pixel_size, "--pixel-size")
    parse_tolerance(tolerance, None)
    pairs = find_pairs(data)
    subjects = [subject, *(against or [])]
    masks = out / "masks" if out else None
    methods = open_methods(subjects, pairs, engine=engine, split=split, masks=masks)
    if out is not None:
        _make_folder(out)
    options = ScoreOptions(tolerance, min_pixels, size, out / "triptychs" if out else None)
    errors: list[MudrockError] = []
    scores = list(score_all(pairs, methods, options, errors))
    if not scores:
        raise MudrockError(f"{data}: nothing could be compared", "see the lines above")
    rows = tabulate_scores(scores)
    if as_json:
        _say_json(rows)
    else:
        _say_tables(rows, methods[0].name)
    if out is not None:
        facts = {"tolerance": tolerance, "min_pixels": min_pixels, "data": str(data)}
        _write(out, rows, facts | {"methods": subjects})
        Console(stderr=True, highlight=False).print(Text(f"scores.parquet and more in {out}"))
    raise typer.Exit(ExitCode.SOME_FAILED if errors else ExitCode.DONE)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{out}: cannot be written ({reason})", "choose another --out") from error


def _say_json(rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        known = {key: None if value != value else value for key, value in row.items()}
        typer.echo(json.dumps(known, ensure_ascii=False))


def _say_tables(rows: Sequence[Mapping[str, Any]], first: str) -> None:
    from mudrock_cli.report import score_tables

    console = Console(highlight=False)
    for table in (
        score_tables.draw_summary_table(rows),
        score_tables.draw_image_table(rows),
        score_tables.draw_confusion_table(rows, first),
        score_tables.draw_object_table(rows),
        score_tables.draw_quantity_table(rows),
    ):
        console.print(table)
        console.print()
    for line in score_tables.describe_absences(rows):
        console.print(Text(line))


def _write(out: Path, rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> None:
    from mudrock_cli.measure.scoring.score_table import write_scores
    from mudrock_cli.report.evaluation import draw_evaluation
    from mudrock_cli.report.style import save_figures

    write_scores(out / "scores.parquet", rows, facts)
    save_figures(out, {"evaluation": draw_evaluation(rows)})
