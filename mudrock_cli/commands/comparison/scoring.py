"""Score every image by every method; what fails is said and does not stop the others."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from mudrock_cli.commands.comparison.methods import Method
from mudrock_cli.errors import MudrockError, UsageError

if TYPE_CHECKING:
    from mudrock_cli.image.mask import PhaseMask
    from mudrock_cli.image.micrograph import Micrograph
    from mudrock_cli.image.pairs import Pair
    from mudrock_cli.image.pixel_size import PixelSize
    from mudrock_cli.measure.scoring.score_table import ImageScores

_PIXELS = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*(px|pixels?)?\s*")
_WHOLE = 1 << 26  # pixels of a mask up to which it is held in memory, not read again and again


@dataclass(frozen=True)
class ScoreOptions:
    """How masks are compared.

    Parameters
    ----------
    tolerance : str
        Of the boundary F1, ``3px`` or a length such as ``30nm``.
    min_pixels : int
        Smallest instance that is matched.
    pixel_size : PixelSize or None
        Overrides what the files tell.
    triptychs : Path or None
        Folder for the triptychs; None draws none.
    """

    tolerance: str
    min_pixels: int
    pixel_size: "PixelSize | None"
    triptychs: Path | None


def score_all(
    pairs: Sequence["Pair"],
    methods: Sequence[Method],
    options: ScoreOptions,
    errors: list[MudrockError],
) -> Iterator["ImageScores"]:
    """Yield the scores of all images by all methods.

    Parameters
    ----------
    pairs, methods : sequence
        What is compared.
    options : ScoreOptions
        How it is compared.
    errors : list of MudrockError
        Takes what failed, which has been said on stderr by then.
    """
    stderr = Console(stderr=True, highlight=False, soft_wrap=True)
    hidden = not stderr.is_terminal
    with Progress(console=stderr, disable=hidden, transient=True) as progress:
        task = progress.add_task("images", total=len(pairs) * len(methods))
        for pair in pairs:
            for method in methods:
                try:
                    yield _score_one(pair, method, options)
                except UsageError:
                    raise
                except MudrockError as error:
                    errors.append(error)
                    hint = f"; {error.hint}" if error.hint else ""
                    stderr.print(Text(f"error: {error.message}{hint}"))
                progress.advance(task)


def _score_one(pair: "Pair", method: Method, options: ScoreOptions) -> "ImageScores":
    from mudrock_cli.image.mask import open_mask
    from mudrock_cli.image.micrograph import open_micrograph
    from mudrock_cli.measure.scoring.score_table import ImageScores
    from mudrock_cli.measure.scoring.scores import score_mask

    truth = _hold(open_mask(pair.label))
    image = open_micrograph(pair.image, pixel_size=options.pixel_size) if pair.image else None
    prediction = _hold(method.predict(pair, image))
    known = [truth.pixel_size, image.pixel_size if image else None, prediction.pixel_size]
    size = options.pixel_size or next((one for one in known if one), None)
    scores = score_mask(
        truth,
        prediction,
        tolerance=parse_tolerance(options.tolerance, size or pair.name),
        min_pixels=options.min_pixels,
        um_per_pixel=size.um if size else None,
    )
    if options.triptychs is not None:
        path = options.triptychs / method.name / f"{pair.name}.png"
        title = f"{method.name}: IoU silt {{1:.3f}}, clay {{0:.3f}}, pore {{2:.3f}}"
        _save_triptych(path, truth, prediction, image, size, title.format(*scores.iou))
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
    from mudrock_cli.report.overlay import save_overlay
    from mudrock_cli.report.triptych import draw_triptych

    if image is not None and image.shape != truth.shape:
        sizes = [f"{one.shape[1]} × {one.shape[0]}" for one in (truth, image)]
        raise MudrockError(
            f"{truth.path}: {sizes[0]} pixels, its image has {sizes[1]}", "label the same image"
        )
    save_overlay(path, draw_triptych(truth, prediction, image, size, title))


def parse_length(text: str | None, option: str) -> "PixelSize | None":
    """Read a length from the command line."""
    from mudrock_cli.image.pixel_size import PixelSize

    if text is None:
        return None
    try:
        return PixelSize.parse(text, option)
    except MudrockError as error:
        raise UsageError(error.message, error.hint) from error


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
    return length.nm / size.nm if length and size else 0.0
