"""``mudrock evaluate``: how good masks are, against labels."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mudrock_cli.commands.options import (
    EngineName,
    OverridePixelSize,
    PixelSizes,
    PixelSizeText,
    Values,
    parse_length,
    read_pixel_sizes,
)
from mudrock_cli.errors import ExitCode, MudrockError, UsageError

if TYPE_CHECKING:
    from mudrock_cli.commands.console import Console
    from mudrock_cli.files import Pair
    from mudrock_cli.image.labels import ValueTable
    from mudrock_cli.image.mask import PhaseMask
    from mudrock_cli.image.micrograph import Micrograph
    from mudrock_cli.image.types import PixelSize
    from mudrock_cli.measure.scores import ImageScores

Predict = Callable[["Pair", "Micrograph | None"], "PhaseMask"]

_PIXELS = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*(px|pixels?)?\s*")
_WHOLE = 1 << 26  # pixels of a mask up to which it is held in memory, not read again and again


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
        Path | None,
        typer.Option("--out", "-o", help="Folder for Parquet, figure, triptychs, masks."),
    ] = None,
    tolerance: Annotated[
        str, typer.Option(help="For outlines: 3px, 30nm.", metavar="LENGTH")
    ] = "3px",
    min_pixels: Annotated[
        int, typer.Option(min=1, help="Smallest grain or pore that is matched.")
    ] = 10,
    pixel_size: PixelSizeText = None,
    split: Annotated[
        Path | None, typer.Option(help="CSV of name,part: train, validation, test.")
    ] = None,
    engine: Annotated[EngineName, typer.Option(help="What runs a model.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="A JSON line per row.")] = False,
    override_pixel_size: OverridePixelSize = False,
    values: Values = None,
) -> None:
    """Measure masks, or the masks that a model makes, against labels.

    Pixel accuracy and IoU, outlines, objects, and the errors of porosity, silt fraction and sizes;
    per image, averaged over images and pooled. Only pixels with a label count. A phase that an
    image has in neither truth nor prediction is left out of the mean, and that is said. Labels of
    pores alone, or of grains, judge these: --values 0=clay+silt,255=pore.
    """
    from mudrock_cli.commands.console import Console
    from mudrock_cli.files import Input, check_writable, find_pairs
    from mudrock_cli.image.labels import parse_values
    from mudrock_cli.measure.scores import tabulate_scores

    meanings = parse_values(values) if values else None
    sizes = read_pixel_sizes(pixel_size, override=override_pixel_size)
    parse_tolerance(tolerance, None)
    pairs = find_pairs(data)
    sizes.check([Input(pair.label, Path(pair.name)) for pair in pairs])
    subjects = [subject, *(against or [])]
    masks = out / "masks" if out else None
    methods = open_methods(subjects, pairs, engine=engine, split=split, masks=masks)
    if out is not None:
        check_writable(out)
    triptychs = out / "triptychs" if out else None
    options = ScoreOptions(tolerance, min_pixels, sizes, triptychs, meanings)
    with Console("comparisons", len(pairs) * len(methods), json_lines=as_json) as console:
        scores = list(score_all(pairs, methods, options, console))
    if not scores:
        raise MudrockError(f"{data}: nothing could be compared", "see the lines above")
    rows = tabulate_scores(scores)
    _print_rows(rows, methods[0].name, console)
    if out is not None:
        facts = {"tolerance": tolerance, "min_pixels": min_pixels, "data": str(data)}
        _write(out, rows, facts | {"methods": subjects, "values": values})
        console.stderr.print(f"scores.parquet and more in {out}", markup=False)
    failed = len(scores) < len(pairs) * len(methods)
    raise typer.Exit(ExitCode.SOME_FAILED if failed else ExitCode.DONE)


# What is compared: folders of masks, and models that segment the images first.


@dataclass(frozen=True)
class Method:
    """A way to a mask.

    Parameters
    ----------
    name : str
        What the tables call it.
    predict : callable
        ``predict(pair, micrograph)`` returns the mask to be judged.
    splits : mapping of str to str
        Where an image stood when the method was trained, by its name; empty when not known.
    """

    name: str
    predict: Predict
    splits: Mapping[str, str] = field(default_factory=dict)

    def split_of(self, image: str) -> str | None:
        """Return the part of the split that holds an image.

        By its name or that of its source micrograph; ``unknown`` where the split tells neither,
        None where there is no split.
        """
        from mudrock_cli.deeplab.dataset import name_source

        if not self.splits:
            return None
        name = Path(image).name
        told = (self.splits.get(known) for known in (image, name, name_source(name)))
        return next((part for part in told if part), "unknown")


def open_methods(
    arguments: Sequence[str],
    pairs: Sequence["Pair"],
    *,
    engine: EngineName,
    split: Path | None,
    masks: Path | None,
) -> list[Method]:
    """Open models and folders of masks.

    Parameters
    ----------
    arguments : sequence of str
        Folders of masks, folders or names of models.
    pairs : sequence of Pair
        What they will be judged on.
    engine : str
        What runs a network.
    split : Path or None
        Overrides the split in a model's folder.
    masks : Path or None
        Folder below which masks that a model makes are kept.

    Raises
    ------
    UsageError
        If an argument is neither, or a folder holds no mask for any label.
    """
    given = _read_split(split) if split else None
    methods: list[Method] = []
    for number, argument in enumerate(arguments):
        folder = Path(argument)
        is_masks = folder.is_dir() and not (folder / "recipe.toml").is_file()
        name, taken = folder.resolve().name, {other.name for other in methods}
        if name in taken:
            name = f"{folder.resolve().parent.name}/{name}"
        if name in taken or folder.resolve() in {Path(a).resolve() for a in arguments[:number]}:
            raise UsageError(f"{argument}: given twice", "compare different masks")
        if is_masks:
            method = _open_masks(name, folder, pairs)
        else:
            method = _open_model(name, argument, engine, masks and masks / name)
        methods.append(method if given is None else replace(method, splits=given))
    return methods


def _open_masks(name: str, folder: Path, pairs: Sequence["Pair"]) -> Method:
    from mudrock_cli.files import find_partner
    from mudrock_cli.image.mask import open_mask

    if not any(find_partner(folder, pair.name) for pair in pairs):
        raise UsageError(
            f"{folder}: no mask for any of the {len(pairs)} labels, such as {pairs[0].name}.tif",
            "masks are found by the names of the labels",
        )

    def predict(pair: "Pair", micrograph: "Micrograph | None") -> "PhaseMask":
        path = find_partner(folder, pair.name)
        if path is None:
            raise MudrockError(
                f"{pair.label}: no mask called {pair.name} in {folder}", "make it, or leave it out"
            )
        return open_mask(path)

    return Method(name, predict)


def _open_model(name: str, argument: str, engine: EngineName, masks: Path | None) -> Method:
    from mudrock_cli.deeplab.model import load_model
    from mudrock_cli.segmentation import open_engine, segment_mask

    model = load_model(argument)
    if model.warning:
        typer.echo(f"warning: {model.warning}", err=True)
    runner = open_engine(model, engine)

    def predict(pair: "Pair", micrograph: "Micrograph | None") -> "PhaseMask":
        if micrograph is None:
            raise MudrockError(
                f"{pair.label}: no image {pair.name} to segment", "put it beside the labels"
            )
        path = masks / f"{pair.name}.tif" if masks else None
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
        return segment_mask(micrograph, model, lambda: runner, out=path)

    recorded = model.path / "split.csv"
    splits = dict.fromkeys(model.known_sources, "train")
    splits |= _read_split(recorded) if recorded.is_file() else {}
    return Method(name, predict, splits)


def _read_split(path: Path) -> dict[str, str]:
    from mudrock_cli.deeplab.split import read_parts

    return {name: row["part"] for name, row in read_parts(path).items()}


# Score every image by every method.


@dataclass(frozen=True)
class ScoreOptions:
    """How masks are compared.

    Parameters
    ----------
    tolerance : str
        Of the boundary F1, ``3px`` or a length such as ``30nm``.
    min_pixels : int
        Smallest instance that is matched.
    pixel_sizes : PixelSizes
        What the command line gives.
    triptychs : Path or None
        Folder for the triptychs; None draws none.
    values : ndarray of uint8, shape (256,), or None
        What the values of labels mean, where they are not ours.
    """

    tolerance: str
    min_pixels: int
    pixel_sizes: PixelSizes
    triptychs: Path | None
    values: "ValueTable | None"


def score_all(
    pairs: Sequence["Pair"],
    methods: Sequence[Method],
    options: ScoreOptions,
    console: "Console",
) -> Iterator["ImageScores"]:
    """Yield the scores of all images by all methods; what fails is printed and left out."""
    for pair in pairs:
        for method in methods:
            try:
                yield _score_one(pair, method, options, console.warn)
            except UsageError:
                raise
            except MudrockError as error:
                console.print_error(error)
            console.count()


def _score_one(
    pair: "Pair", method: Method, options: ScoreOptions, warn: Callable[[str, str], None]
) -> "ImageScores":
    from mudrock_cli.files import Input
    from mudrock_cli.image.labels import open_label
    from mudrock_cli.image.micrograph import open_micrograph
    from mudrock_cli.image.types import Phase
    from mudrock_cli.measure.scores import ImageScores, score_mask

    item = Input(pair.image or pair.label, Path(pair.name))
    truth = _hold(open_label(pair.label, options.values))
    image = open_micrograph(pair.image) if pair.image else None
    if image is not None:
        own = options.pixel_sizes.choose(item, image.pixel_size, warn)
        image = replace(image, pixel_size=own)
    prediction = _hold(method.predict(pair, image))
    known = [truth.pixel_size, image.pixel_size if image else None, prediction.pixel_size]
    size = options.pixel_sizes.choose(item, next((one for one in known if one), None))
    scores = score_mask(
        truth,
        prediction,
        tolerance=parse_tolerance(options.tolerance, size or pair.name),
        min_pixels=options.min_pixels,
        um_per_pixel=size.um if size else None,
    )
    if options.triptychs is not None:
        path = options.triptychs / method.name / f"{pair.name}.png"
        shown = (Phase.SILT, Phase.CLAY, Phase.PORE)
        told = [f"{one.name.lower()} {scores.iou[one]:.3f}" for one in shown if scores.told[one]]
        title = f"{method.name}: IoU {', '.join(told)}"
        _save_triptych(path, truth, prediction, image, size, title)
    return ImageScores(method.name, pair.name, method.split_of(pair.name), scores)


def _hold(mask: "PhaseMask") -> "PhaseMask":
    """Read a mask of usual size once."""
    if mask.shape[0] * mask.shape[1] > _WHOLE:
        return mask
    phases = mask.phases()
    return replace(mask, read=lambda rows, columns: phases[rows, columns])


def _save_triptych(
    path: Path,
    truth: "PhaseMask",
    prediction: "PhaseMask",
    image: "Micrograph | None",
    size: "PixelSize | None",
    title: str,
) -> None:
    from mudrock_cli.report.overlay import draw_triptych, save_overlay

    if image is not None and image.shape != truth.shape:
        sizes = [f"{one.shape[1]} × {one.shape[0]}" for one in (truth, image)]
        raise MudrockError(
            f"{truth.path}: {sizes[0]} pixels, its image has {sizes[1]}", "label the same image"
        )
    save_overlay(path, draw_triptych(truth, prediction, image, size, title))


def parse_tolerance(text: str, size: "PixelSize | str | None") -> float:
    """Return the tolerance in pixels; `size` is the name of an image that has no pixel size."""
    match = _PIXELS.fullmatch(text)
    if match:
        return float(match[1])
    length = parse_length(text, "--tolerance")
    if isinstance(size, str):
        raise MudrockError(
            f"{size}: no pixel size, so {text} is no number of pixels",
            "give --pixel-size, or --tolerance in px",
        )
    return length.nm / size.nm if size else 0.0


# What is printed and written.


def _print_rows(rows: Sequence[Mapping[str, Any]], first: str, console: "Console") -> None:
    from mudrock_cli.commands.console import print_table
    from mudrock_cli.report import evaluation as tables

    if console.json_lines:
        for row in rows:
            known = {key: None if value != value else value for key, value in row.items()}
            console.print_json(known)
        return
    for table in (
        tables.tabulate_summary(rows),
        tables.tabulate_images(rows),
        tables.tabulate_confusion(rows, first),
        tables.tabulate_objects(rows),
    ):
        print_table(table, "")
    print_table(tables.tabulate_quantities(rows), "", *tables.describe_absences(rows))


def _write(out: Path, rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> None:
    from mudrock_cli.measure.scores import write_scores
    from mudrock_cli.report.evaluation import draw_evaluation
    from mudrock_cli.report.figures import save_figures

    write_scores(out / "scores.parquet", rows, facts)
    save_figures(out, {"evaluation": draw_evaluation(rows)})
