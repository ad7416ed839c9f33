"""What `evaluate` compares: folders of masks, and models that segment the images first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.image.texts import read_rows

if TYPE_CHECKING:
    from mudrock_cli.image.mask import PhaseMask
    from mudrock_cli.image.micrograph import Micrograph
    from mudrock_cli.image.pairs import Pair

EngineName = Literal["auto", "openvino", "keras"]
Predict = Callable[["Pair", "Micrograph | None"], "PhaseMask"]

SPLIT_FILES = ("split.csv", "training/split.csv")  # where the training of a model writes it
SPLITS = ("train", "validation", "test")


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

        ``unknown`` where the split does not name the image, None where there is no split.
        """
        if not self.splits:
            return None
        return self.splits.get(image) or self.splits.get(Path(image).name) or "unknown"


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
    given = read_split(split) if split else None
    methods: list[Method] = []
    for number, argument in enumerate(arguments):
        folder = Path(argument)
        is_masks = folder.is_dir() and not (folder / "recipe.toml").is_file()
        method = _open_masks(folder, pairs) if is_masks else _open_model(argument, engine, masks)
        name, taken = method.name, {other.name for other in methods}
        if name in taken:
            name = f"{folder.resolve().parent.name}/{name}"
        if name in taken or folder.resolve() in {Path(a).resolve() for a in arguments[:number]}:
            raise UsageError(f"{argument}: given twice", "compare different masks")
        methods.append(Method(name, method.predict, method.splits if given is None else given))
    return methods


def read_split(path: Path) -> dict[str, str]:
    """Read which image, or which parent of images, is in which part.

    Parameters
    ----------
    path : Path
        CSV with the columns ``name`` and ``part`` at least, as training records it.

    Raises
    ------
    MudrockError
        If the file cannot be read or is no such table.
    """
    expected = f"expected a CSV with the columns name,part; parts are {', '.join(SPLITS)}"
    rows = read_rows(path, expected)
    found = {row.get("name") or "": row.get("part") or "" for row in rows}
    wrong = sorted(set(found.values()) - set(SPLITS))
    if not found or wrong or "" in found:
        reason = (
            f"the part {wrong[0][:60]!r} is unknown" if any(wrong) else "names no part of an image"
        )
        raise MudrockError(f"{path}: {reason}", expected)
    return {_strip_suffix(name): part for name, part in found.items()}


def _strip_suffix(name: str) -> str:
    path = Path(name)
    known = path.suffix.lower() in (".tif", ".tiff", ".png", ".bmp", ".jpg", ".jpeg", ".zarr")
    return path.with_suffix("").as_posix() if known else name


def _open_masks(folder: Path, pairs: Sequence["Pair"]) -> Method:
    from mudrock_cli.image.mask import open_mask
    from mudrock_cli.image.pairs import find_partner

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

    return Method(folder.resolve().name, predict)


def _open_model(argument: str, engine: EngineName, masks: Path | None) -> Method:
    from mudrock_cli.commands.prediction.engines import ask_workflow, open_engine
    from mudrock_cli.deeplab.inference.segmenter import restore_bands, segment_bands
    from mudrock_cli.deeplab.model.zoo import load_model
    from mudrock_cli.image.enlargement import undo_enlargement
    from mudrock_cli.image.mask import PhaseMask, create_mask, open_mask

    model = load_model(argument)
    runner = open_engine(model, engine)

    def predict(pair: "Pair", micrograph: "Micrograph | None") -> "PhaseMask":
        import numpy as np

        if micrograph is None:
            raise MudrockError(
                f"{pair.label}: no image {pair.name} to segment", "put it beside the labels"
            )
        distinct = undo_enlargement(micrograph)
        opinion = ask_workflow(model.recipe, distinct.micrograph, model.temperature)
        found = segment_bands(distinct.micrograph, runner, model.recipe, opinion=opinion)
        bands = restore_bands(found, distinct)
        if masks is None:
            phases = np.concatenate([band.phases for band in bands])
            return PhaseMask.from_array(pair.name, phases, micrograph.pixel_size)
        path = masks / model.name / f"{pair.name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        facts = {"method": "segment", "model": {"name": model.name, "sha256": model.digest}}
        with create_mask(path, micrograph.shape, micrograph.pixel_size, facts) as writer:
            for band in bands:
                writer.write_rows(band.phases)
        return open_mask(path)

    recorded = [model.path / name for name in SPLIT_FILES if (model.path / name).is_file()]
    return Method(model.name, predict, read_split(recorded[0]) if recorded else {})
