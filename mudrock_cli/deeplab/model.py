"""A model is a folder: recipe, weights, the network compiled for CPUs, and a card with hashes."""

import hashlib
import json
import os
import reprlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import mudrock_cli
from mudrock_cli.config import read_text
from mudrock_cli.deeplab.recipe import Recipe
from mudrock_cli.deeplab.training_range import DISTANCE, ENTROPY, MARGIN, RANGE, REACH, SKEW
from mudrock_cli.deeplab.weights import HALF_LIMIT, save_weights
from mudrock_cli.errors import MudrockError, UsageError, describe
from mudrock_cli.files import atomic_write, fsync, hash_file, part_path, write_text
from mudrock_cli.image.mask import name_figure

if TYPE_CHECKING:
    import keras
    import openvino


DEFAULT_MODEL = "kumano"
CARD = "card.json"
REQUIRED = ("recipe.toml", "weights.npz")
COMPILED = ("cpu.xml", "cpu.bin")


@dataclass(frozen=True)
class TrainedModel:
    """A model folder, its files checked against the hashes on its card.

    Parameters
    ----------
    name : str
        Name of the folder.
    path : Path
        The folder.
    recipe : Recipe
        What the network was built and trained by.
    card : Mapping
        The facts of ``card.json``: figures, temperature, hashes.
    ignored : tuple of str
        Keys of the recipe that decided masks in an earlier version, and no longer do.
    """

    name: str
    path: Path
    recipe: Recipe
    card: Mapping[str, Any]
    ignored: tuple[str, ...] = ()

    @property
    def nm_per_pixel(self) -> float:
        """Nanometres per pixel at which the network was trained."""
        return self.recipe.data.nm_per_pixel

    @property
    def scale_range(self) -> tuple[float, float]:
        """How far crops of the training were resampled, and so what pixel sizes it suits.

        Over its own: a micrograph of 1.4 times its pixel size is enlarged 1.4 times.
        """
        low, high = self.recipe.augment.scale
        return min(low, 1.0), max(high, 1.0)

    @property
    def known_sources(self) -> list[str]:
        """The micrographs that it, or a model that it started from, was trained on."""
        data = self.card.get("data", {})
        trained = data.get("parts", {}).get("train", {}).get("parents", ())
        of_start = self.card.get("finetuning", {}).get("known", ())
        return sorted({*trained, *data.get("known", ()), *of_start})

    @property
    def temperature(self) -> float:
        """Divisor of the logits that calibrates the probabilities."""
        return float(self.card.get("temperature", 1.0))

    @property
    def confidence_temperature(self) -> float:
        """Divisor of the log-probabilities of network and classical prior together.

        It calibrates the confidence where there is a prior, and changes no phase.
        """
        return float(self.card.get("confidence_temperature", 1.0))

    @property
    def weights(self) -> Path:
        """The weights, as numbers by the network's variable paths."""
        return self.path / "weights.npz"

    @property
    def compiled(self) -> Path | None:
        """The network compiled for CPUs, or None where the folder has none."""
        return self.path / COMPILED[0] if COMPILED[0] in self.card["sha256"] else None

    @property
    def warning(self) -> str:
        """A line on what the model asks for and no longer gets; empty where there is nothing."""
        if not self.ignored:
            return ""
        return (
            f"{self.path / 'recipe.toml'}: {', '.join(self.ignored)} of an earlier version are no "
            "longer supported, so masks differ a little from those of then"
        )

    @property
    def digest(self) -> str:
        """SHA-256 over everything that decides what the model predicts."""
        hashes = sorted(self.card["sha256"].items())
        decisive = [f"{name} {value}" for name, value in hashes if name != RANGE]
        temperatures = [str(self.temperature)]
        if self.confidence_temperature != 1:  # models of before keep their hash
            temperatures.append(str(self.confidence_temperature))
        return hashlib.sha256("\n".join([*decisive, *temperatures]).encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        """Return what a mask tells of the model that made it.

        Returns
        -------
        dict
            ``name``, ``sha256``; where it was judged on images that it had not seen, ``held_out``:
            the number of these ``images``, pooled ``iou`` by phase, and as far as the card tells
            them the mean magnitudes of the errors of an image's fractions, percentage points, as
            ``porosity_error_points`` and ``silt_error_points``; and where that was another pipeline
            than today's, in words, ``pipeline``.
        """
        judged = self.card.get("judged")
        judged = judged if isinstance(judged, Mapping) else {}
        rows = judged.get("images")
        rows = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
        described = {"name": self.name, "sha256": self.digest}
        if not rows:
            return described
        held_out: dict[str, Any] = {"images": len(rows), "iou": self.card.get("iou")}
        for name in ("porosity_error_points", "silt_error_points"):
            errors = [row[name] for row in rows if type(row.get(name)) in (int, float)]
            if len(errors) == len(rows):
                held_out[name] = float(np.mean(np.abs(errors)))
        if isinstance(pipeline := judged.get("pipeline"), str):
            held_out["pipeline"] = pipeline
        return described | {"held_out": held_out}


def models_folder() -> Path:
    """Return the folder of the models that ship: in the package, or beside it in a checkout."""
    package = Path(mudrock_cli.__file__).resolve().parent
    inside, beside = package / "models", package.parent / "models"
    in_checkout = (package.parent / "pyproject.toml").is_file()
    return beside if in_checkout and not inside.is_dir() else inside


def list_models() -> list[str]:
    """Return the names of the models that ship, sorted."""
    return sorted(card.parent.name for card in models_folder().glob(f"*/{CARD}"))


def load_model(model: str = DEFAULT_MODEL) -> TrainedModel:
    """Load a model by its name or its folder.

    Parameters
    ----------
    model : str
        The name of a model that ships, or the path of a model folder.

    Raises
    ------
    UsageError
        If there is no such model.
    MudrockError
        If a file of the model is missing, unknown to its card or not what the card's hash says.
    """
    path = models_folder() / model if model in list_models() else Path(model)
    if not (path / CARD).is_file():
        raise UsageError(
            f"{model}: no model of this name and no folder with a {CARD}",
            f"models that ship: {', '.join(list_models()) or 'none'}; see mudrock models",
        )
    card = _read_card(path)
    for name, expected in card["sha256"].items():
        if (path / name).exists() and not (path / name).is_file():  # a pipe would be waited for
            raise MudrockError(f"{path / name}: not a file", "install the model again")
        if hash_file(path / name) != expected:
            raise MudrockError(
                f"{path / name}: is not the file that {CARD} describes (SHA-256 differs)",
                "install mudrock again, or train the model again",
            )
    source = path / "recipe.toml"
    ignored: list[str] = []
    recipe = Recipe.from_toml(read_text(source), str(source), ignored)
    decisive = tuple(name for name in ignored if name.startswith("inference."))
    return TrainedModel(path.resolve().name, path, recipe, card, decisive)


def seal_model(path: Path, facts: Mapping[str, Any]) -> TrainedModel:
    """Write ``card.json`` over the files of a model folder, and load the model.

    Parameters
    ----------
    path : Path
        A folder with recipe, weights and, if it has one, the compiled network.
    facts : Mapping
        What the card tells beside the hashes, JSON-able: ``temperature``, ``iou``, ...
    """
    present = [name for name in (*REQUIRED, *COMPILED, RANGE) if (path / name).is_file()]
    card = dict(facts) | {"sha256": {name: hash_file(path / name) for name in present}}
    with atomic_write(path / CARD) as part:
        part.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return load_model(str(path))


def _read_card(path: Path) -> dict[str, Any]:
    """Read the card; only files with known names may stand on it."""
    source = path / CARD
    try:
        card: dict[str, Any] = json.loads(read_text(source))
    except (ValueError, RecursionError) as error:
        raise MudrockError(f"{source}: is not valid JSON ({describe(error)})") from error
    hashes = card.get("sha256") if isinstance(card, dict) else None
    if not isinstance(hashes, dict):
        raise MudrockError(f"{source}: has no table of SHA-256 hashes")
    missing = [name for name in REQUIRED if name not in hashes]
    unknown = sorted(set(hashes) - {*REQUIRED, *COMPILED, RANGE})
    half = len(set(COMPILED) & set(hashes)) == 1
    if missing or unknown or half:
        reason = f"lacks {', '.join(missing)}" if missing else f"names {', '.join(unknown)[:200]}"
        reason = f"names only one of {' and '.join(COMPILED)}" if half else reason
        raise MudrockError(f"{source}: {reason}", f"a model is {', '.join(REQUIRED + COMPILED)}")
    for key in ("temperature", "confidence_temperature"):
        value = card.get(key, 1.0)
        if type(value) not in (int, float) or not 1e-3 <= value <= 1e3:
            name, shown = key.replace("_", " "), reprlib.repr(value)
            raise MudrockError(f"{source}: the {name} {shown} is no number from 0.001 to 1000")
    return card


def write_model(
    folder: Path,
    recipe: Recipe,
    network: "keras.Model",
    facts: Mapping[str, Any],
    temperature: float = 1.0,
) -> TrainedModel:
    """Write a model folder that `segment --model` takes.

    Parameters
    ----------
    folder : Path
        Made where it is missing; its name is the model's.
    recipe : Recipe
        What the network was built and trained by.
    network : keras.Model
        From `build_network` by that recipe, for any tile size, with its weights.
    facts : mapping
        What the card tells, see `describe_model`; JSON-able.
    temperature : float
        Divides the logits; goes into the compiled network.

    Raises
    ------
    MudrockError
        If a weight is not finite, the folder cannot be written, or the network compiled for CPUs
        is not the network.
    """
    facts = {**facts, "temperature": temperature}
    with assembling(folder) as scratch:
        write_text(scratch / "recipe.toml", recipe.to_toml())
        save_weights(network, scratch / "weights.npz")
        compile_for_cpu(scratch, temperature)
        write_text(scratch / "card.md", describe_model(folder.name, recipe, facts))
        seal_model(scratch, facts)
    return load_model(str(folder))


@contextmanager
def assembling(folder: Path) -> Iterator[Path]:
    """Yield a scratch folder for all files of a model, and move them into `folder` at the end.

    A model that `folder` holds already stays as it is until the new one is complete. Its card
    goes first and the new card comes last, so that no moment shows a card beside the files of
    another model.

    Parameters
    ----------
    folder : Path
        The model folder; other files in it stay.

    Raises
    ------
    MudrockError
        If the folder cannot be written.
    """
    scratch = part_path(folder / "model")
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        yield scratch
        names = sorted((path.name for path in scratch.iterdir()), key=CARD.__eq__)
        for name in (CARD, *COMPILED, RANGE):
            (folder / name).unlink(missing_ok=True)
        for name in names:
            fsync(scratch / name)
            (scratch / name).replace(folder / name)
    except OSError as error:
        raise MudrockError(
            f"{folder}: cannot be written ({describe(error)})", "make room there, then --resume"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


# The card: what a model was trained on, how well it does, what it is not for.

_PHASES = ("clay", "silt", "pore")
_LEAK = (
    "**The figures below are too good.** Files of one micrograph stand on both sides of the split "
    "(as in the paper), so the network was judged on places that it had seen."
)
_SPLITS = {
    "parents": "source micrograph: none stands on two sides",
    "folds": "source micrograph, each held out once; the model itself was trained on all of them",
    "file": "a file that was given",
    "paper": "chance, file by file, as the paper did",
    "all": "none: everything was trained on",
}


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
        (``name``, ``split``, ``parts``: of each part its ``parents``, the source micrographs, its
        ``files`` and ``megapixels``), ``leaks`` (source micrographs on two sides), ``judged``
        (``on`` and ``images``: dicts of ``name``, ``part``, ``pixel_accuracy``, ``iou_clay``, ...),
        ``iou`` (by phase), ``pixel_accuracy``, ``calibration`` (``error_before``,
        ``error_after``) and ``confidence_calibration`` (the same of the confidence),
        ``finetuning`` (see `describe_finetuning`), ``temperature``, ``domain``
        (see `span_training_range`), ``training``
        (any figures), ``limits``, ``licence``, ``citation``.

    Returns
    -------
    str
        Markdown.
    """
    low, high = (recipe.data.nm_per_pixel * factor for factor in recipe.augment.scale)
    sections = {
        f"# {name}": [
            *([facts["summary"], ""] if facts.get("summary") else []),
            f"Phases: clay, silt, pore. Trained at {recipe.data.nm_per_pixel:g} nm per pixel, "
            "with crops resampled by {:g} to {:g}; `mudrock segment` so resamples micrographs of "
            "{:g} to {:g} nm, and masks back.".format(*recipe.augment.scale, low, high),
        ],
        "## Data": _describe_data(facts.get("data")),
        "## Figures": _describe_figures(facts),
        "## Fine-tuning": [f"- {line}" for line in describe_finetuning(facts)],
        "## Calibration": _describe_calibration(facts),
        "## Training range": _describe_range(recipe, facts.get("domain")),
        "## Training": _describe_training(recipe, facts.get("training") or {}),
        "## Limits": [f"- {limit}" for limit in facts.get("limits", ())],
        "## Licence": [f"- {facts['licence']}"] if facts.get("licence") else [],
        "## Citation": [f"- {facts['citation']}"] if facts.get("citation") else [],
    }
    told = [f"{title}\n\n" + "\n".join(lines) for title, lines in sections.items() if lines]
    return "\n\n".join(told) + "\n"


def _describe_data(data: Mapping[str, Any] | None) -> list[str]:
    if not data:
        return []
    lines = [
        f"`{data['name']}`, split by {_SPLITS.get(data['split'], data['split'])}.",
        "",
        "| part | source micrographs | files | megapixels |",
        "| --- | --- | ---: | ---: |",
    ]
    for part, what in data["parts"].items():
        names = what["parents"]
        shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" * (len(names) > 12))
        lines.append(f"| {part} | {shown} | {what['files']} | {what['megapixels']:.2f} |")
    return lines


def _describe_figures(facts: Mapping[str, Any]) -> list[str]:
    judged: Mapping[str, Any] = facts.get("judged") or {}
    iou: Mapping[str, Any] = facts.get("iou") or {}
    if not iou:
        return ["None: nothing was held out to judge this model on."]
    lines = [_LEAK, ""] if facts.get("leaks") else []
    lines += [
        f"Pooled over the pixels of {judged.get('on', 'what was held out')}.",
        "",
        "| | pixel accuracy | " + " | ".join(f"IoU {phase}" for phase in _PHASES) + " |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    images: Sequence[Mapping[str, Any]] = judged.get("images", ())
    for image in images if len(images) <= 24 else ():
        name, part = image["name"], image.get("part")
        lines.append(_row(f"{name} ({part})" if part else name, image))
        if image.get("as_given"):
            lines.append(_row(f"{name}, labels as they came", image["as_given"]))
    pooled = {f"iou_{phase}": iou.get(phase) for phase in _PHASES}
    return [*lines, _row("**pooled**", {**pooled, "pixel_accuracy": facts.get("pixel_accuracy")})]


def _row(title: str, figures: Mapping[str, Any]) -> str:
    values = [figures.get(key) for key in ("pixel_accuracy", *(f"iou_{p}" for p in _PHASES))]
    cells = ["–" if value is None else f"{value:.3f}" for value in values]
    return f"| {title} | {' | '.join(cells)} |"


def describe_finetuning(facts: Mapping[str, Any]) -> list[str]:
    """Say what became of the start of a fine-tuned model, and what was measured of it.

    Parameters
    ----------
    facts : mapping
        What stands in ``card.json``. Of its ``finetuning``: ``start`` (a name), ``known`` (the
        micrographs that taught the start), ``other_rock`` (whether what this one learned from
        lies outside the range of those), and if the training was not stopped ``share`` (of what was
        learned), ``halves`` and ``kept`` (IoU by share, a dict each), ``halves_pixels``,
        ``halves_chance``, ``kept_micrographs``, ``loss_allowed``.

    Returns
    -------
    list of str
        Sentences; none for a model that was not fine-tuned.
    """
    told = facts.get("finetuning")
    if not told:
        return []
    start, share = told["start"], told.get("share")
    if share is None:
        return [f"Started from {start}, and was stopped: nothing is measured."]
    lines = [f"Started from {start}: the weights are {_mix(share, start)}."]
    if told.get("other_rock"):
        lines.append(f"The micrographs lie outside the training range of {start}: another rock.")
    new = {row["share"]: row for row in told["halves"]}
    old = {row["share"]: row for row in told["kept"]}
    if new:
        line = (
            f"Of {told['halves_pixels'] / 1e6:.2f} labelled megapixels each half judged what the "
            f"other half alone taught: {_set_against(new[0.0], new[share])}; a mean less by "
            f"{told['halves_chance']:g} counts as chance."
        )
        if share == 0:
            learned = max(row["mean"] for at, row in new.items() if at)
            line += f" What was learned is no better ({learned:.3f}): the model is that of before."
        lines.append(line)
    else:
        lines.append("No labels judged what others taught: the gain is not measured.")
    if not facts.get("judged"):
        lines.append("No micrograph was held out: nothing tells how it does on another one.")
    known = ", ".join(told["known"]) or "other ones"
    if old:
        names, allowed = ", ".join(told["kept_micrographs"]), told["loss_allowed"]
        lines.append(
            f"On {names}, which it was to keep: {_set_against(old[0.0], old[share])}; a mean less "
            f"by {allowed:g} is allowed."
        )
    else:
        lines.append(f"What it lost on the micrographs of {start} ({known}) is not measured.")
    return lines


def _mix(share: float, start: str) -> str:
    if share in (0, 1):
        return "those that the labels taught" if share else f"those of {start}"
    return f"{share:.0%} of the way from there to what the labels taught"


def _set_against(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    phases = [phase for phase in ("mean", *_PHASES) if phase in before]
    steps = (f"{phase} {before[phase]:.3f} → {after[phase]:.3f}" for phase in phases)
    return f"IoU {', '.join(steps)}"


def _describe_calibration(facts: Mapping[str, Any]) -> list[str]:
    found = facts.get("calibration")
    if not found:
        return []
    lines = [
        f"Logits are divided by a temperature of {facts['temperature']:.3f}, fitted on "
        f"{found['pixels']:,} pixels of what was held out: expected calibration error "
        f"{found['error_before']:.4f} before, {found['error_after']:.4f} after."
    ]
    if combined := facts.get("confidence_calibration"):
        lines.append(
            "What network and classical prior say together is divided by a further "
            f"{combined['temperature']:.3f} for the confidence, which changes no phase: expected "
            f"calibration error {combined['error_before']:.4f} before, "
            f"{combined['error_after']:.4f} after, on {combined['pixels']:,} pixels."
        )
    return lines


def _describe_range(recipe: Recipe, known: Mapping[str, Any] | None) -> list[str]:
    if not known:
        return []
    meanings = {
        DISTANCE: f"in standard deviations of their windows' features: up to {REACH:g} times "
        "that of the training micrograph most unlike all others",
        SKEW: "-1 dark stands out, 1 bright stands out",
        ENTROPY: "of the phases' probabilities: 0 certain, 1 knows nothing",
    }
    return [
        "`mudrock segment` marks micrographs outside. Of skew and entropy it is what the training "
        f"micrographs span, widened by {MARGIN:g} of its width.",
        "",
        "| figure | from | to | |",
        "| --- | ---: | ---: | --- |",
        *(
            f"| {name_figure(name)} | {limits['low']:.2f} | {limits['high']:.2f} | "
            f"{meanings.get(name, '')} |"
            for name, limits in known.items()
        ),
    ]


def _describe_training(recipe: Recipe, figures: Mapping[str, Any]) -> list[str]:
    network, training = recipe.network, recipe.training
    told = "A random forest on filter responses: `recipe.toml`."
    if training.last_layer:
        told = (
            f"{network.architecture}, encoder {network.encoder}; the last layer alone, solved at "
            "once. All of it: `recipe.toml`."
        )
    elif network.architecture != "forest":
        told = (
            f"{network.architecture}, encoder {network.encoder}; {training.epochs} epochs of "
            f"{training.steps_per_epoch} steps, batch {training.batch}, {training.precision}. "
            "All of it: `recipe.toml`."
        )
    rows = [
        f"- {key.replace('_', ' ')}: {f'{value:g}' if isinstance(value, float) else value}"
        for key, value in figures.items()
    ]
    return [told, *(["", *rows] if rows else [])]


# A trained network to OpenVINO's IR, the form in which a CPU runs it fast.

_KERNEL_SIZE = 4096  # numbers; a vector of the network has fewer
_TOLERANCE = 0.01  # mean difference of a probability: the weights are rounded to 16 bit


def compile_for_cpu(folder: Path, temperature: float) -> None:
    """Write ``cpu.xml`` and ``cpu.bin`` beside the recipe and weights of a model.

    The conversion always runs on TensorFlow, in a process of its own: whatever backend trained
    the network, OpenVINO runs the graph that it reads from TensorFlow about five times faster
    than the ones it traces from PyTorch or from Keras operations.

    Parameters
    ----------
    folder : Path
        Holds ``recipe.toml`` and ``weights.npz``.
    temperature : float
        Divides the logits before the softmax, positive (Guo et al. 2017, arXiv:1706.04599).

    Raises
    ------
    MudrockError
        If the conversion fails, or the compiled network's probabilities are not the network's.
    """
    environment = os.environ | {
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "CI": "true",  # keeps OpenVINO's converter from sending usage statistics
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    arguments = [sys.executable, "-m", __name__, str(folder), str(temperature)]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last_line = (done.stderr.strip() or "no message").splitlines()[-1]
        raise MudrockError(
            f"the network cannot be compiled for CPUs: {last_line}",
            "if the disk is full, make room; then --resume",
        )


def _convert(folder: Path, temperature: float) -> None:
    """Rebuild, convert, compare and move into place; runs in the process of its own."""
    import keras
    import openvino

    from mudrock_cli.deeplab.network import build_network
    from mudrock_cli.deeplab.recipe import Recipe
    from mudrock_cli.deeplab.weights import load_weights

    recipe = Recipe.from_toml((folder / "recipe.toml").read_text("utf-8"), "recipe.toml")
    tile = recipe.inference.tile
    network = build_network(recipe.network, tile, tile)
    load_weights(network, folder / "weights.npz")
    model = with_probabilities(network, temperature)
    with tempfile.TemporaryDirectory(prefix=".compile-", dir=folder) as scratch:
        raw = Path(scratch, "raw.xml")
        model.export(str(raw), format="openvino", verbose=False)
        graph = openvino.Core().read_model(raw)
        graph.outputs[0].get_tensor().set_names({"probabilities"})
        small = Path(scratch, COMPILED[0])
        halve_kernels(graph)
        normalise_by_planes(graph)
        openvino.save_model(graph, small, compress_to_fp16=False)
        _compare(model, small, tile)
        for name in reversed(COMPILED):  # the .xml names the .bin, so it comes last
            Path(scratch, name).replace(folder / name)
    keras.backend.clear_session()


def with_probabilities(network: "keras.Model", temperature: float) -> "keras.Model":
    """Return the network with softmax(logits / temperature) as its output.

    Inference is written into the graph: Keras 3.15's ``Resizing`` layer turns ``training`` on for
    every layer after it wherever a model is called or exported without saying ``training=False``.
    """
    import keras

    grey = keras.Input(network.input.shape[1:], name="grey")
    logits = keras.layers.Rescaling(1 / temperature, dtype="float32")(network(grey, training=False))
    return keras.Model(grey, keras.layers.Softmax(dtype="float32")(logits))


def halve_kernels(graph: "openvino.Model") -> None:
    """Store kernels in 16 bit and nothing else, which OpenVINO's own compression does not spare."""
    import openvino
    from openvino import opset13 as ops

    for node in graph.get_ordered_ops():
        is_number = node.get_type_name() == "Constant"
        if is_number and node.get_element_type() == openvino.Type.f32:
            values = node.get_data()
            if values.size >= _KERNEL_SIZE and np.abs(values).max() < HALF_LIMIT:
                half = ops.constant(values.astype(np.float16))
                node.output(0).replace(ops.convert(half, "f32").output(0))


def normalise_by_planes(graph: "openvino.Model") -> None:
    """Take the softmax over three planes: over three numbers side by side OpenVINO is slow.

    Such transposes in the Keras model would be moved away when it is converted.
    """
    from openvino import opset13 as ops

    for node in graph.get_ordered_ops():
        if node.get_type_name() == "Softmax":
            planes = ops.transpose(node.input_value(0), [0, 3, 1, 2])
            pixels = ops.transpose(ops.softmax(planes, 1), [0, 2, 3, 1])
            node.output(0).replace(pixels.output(0))


def _compare(model: "keras.Model", compiled: Path, tile: int) -> None:
    import openvino

    grey = np.random.default_rng(0).uniform(0, 255, (1, tile, tile, 1)).astype(np.float32)
    expected: npt.NDArray[np.float32] = np.asarray(model(grey, training=False))
    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    found = openvino.Core().compile_model(compiled, "CPU", precise)(grey)[0]
    difference = float(np.abs(found - expected).mean())
    if not difference < _TOLERANCE:
        raise MudrockError(f"its probabilities differ by {difference:.3f} from the network's")


if __name__ == "__main__":
    _convert(Path(sys.argv[1]), float(sys.argv[2]))
