"""What predicts for a model: a network's engine or a forest, and the workflow's opinion beside."""

from collections.abc import Sequence
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Self, cast

from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.image.types import Map

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mudrock_cli.classical.forest import Forest
    from mudrock_cli.commands.batch import Job
    from mudrock_cli.deeplab.engine import Engine, EngineName
    from mudrock_cli.deeplab.inference import Opinion
    from mudrock_cli.deeplab.model import TrainedModel
    from mudrock_cli.deeplab.recipe import Recipe
    from mudrock_cli.deeplab.training_range import Domain
    from mudrock_cli.deeplab.weights import Statistics
    from mudrock_cli.image.micrograph import Micrograph


class ForestEngine:
    """A random forest as a `deeplab.inference.engine.Engine`."""

    def __init__(self, forest: "Forest", tile: int) -> None:
        self.name = "forest"
        self.tile = tile
        self.batch = 1
        self.statistics: Statistics = {}
        self._forest = forest

    def predict(
        self, tiles: "npt.NDArray[np.uint8] | npt.NDArray[np.float32]"
    ) -> "npt.NDArray[np.float32]":
        """Return the phase probabilities of tiles, shape (N, tile, tile, 3)."""
        import numpy as np

        whole = np.asarray(np.rint(tiles), np.uint8)
        return np.stack([self._forest.predict(np.ascontiguousarray(tile)) for tile in whole])

    def look(self, batches: "npt.NDArray[np.float32]") -> "Statistics":
        """Return nothing: trees do not normalise."""
        return {}

    def adapt(self, statistics: "Statistics") -> Self:
        """Return the forest, which has nothing to be set."""
        return self


def is_forest(model: "TrainedModel") -> bool:
    """Tell whether a model is a random forest."""
    return model.recipe.network.architecture == "forest"


def choose_engine(model: "TrainedModel", name: "EngineName" = "auto") -> str:
    """Return the name of what will predict: a forest has one engine whatever is asked for."""
    from mudrock_cli.deeplab.engine import choose_engine as choose_network_engine

    return "forest" if is_forest(model) else choose_network_engine(model, name)


def open_engine(model: "TrainedModel", name: "EngineName" = "auto") -> "Engine":
    """Start what predicts for a model.

    Raises
    ------
    MudrockError
        If a file of the model is damaged, or it has nothing that this engine can run.
    """
    from mudrock_cli.deeplab.engine import open_engine as open_network_engine

    if not is_forest(model):
        return open_network_engine(model, name)
    from mudrock_cli.classical.forest import Forest

    return ForestEngine(Forest.load(model.path), model.recipe.inference.tile)


class _SharedEngine:
    """An engine that the threads of a process take turns with."""

    def __init__(self, engine: "Engine", turn: "Lock | None" = None) -> None:
        self.name, self.tile, self.batch = engine.name, engine.tile, engine.batch
        self.statistics = engine.statistics
        self._engine, self._turn = engine, turn or Lock()

    def predict(
        self, tiles: "npt.NDArray[np.uint8] | npt.NDArray[np.float32]"
    ) -> "npt.NDArray[np.float32]":
        """Return the phase probabilities of tiles; see `deeplab.inference.engine.Engine`."""
        with self._turn:
            return self._engine.predict(tiles)

    def look(self, batches: "npt.NDArray[np.float32]") -> "Statistics":
        """Return the statistics of tiles; see `deeplab.inference.engine.Engine`."""
        with self._turn:
            return self._engine.look(batches)

    def adapt(self, statistics: "Statistics") -> "_SharedEngine":
        """Return an engine that normalises by other statistics, and takes turns with this one."""
        with self._turn:
            return _SharedEngine(self._engine.adapt(statistics), self._turn)


_starting = Lock()


def share_engine(model: str, digest: str, name: str) -> "Engine":
    """Return the engine of a model, which a process starts once.

    Parameters
    ----------
    model : str
        As `load_model` takes it: a name, since packages lie elsewhere on other machines, or the
        absolute path of a folder.
    digest : str
        The hash that the model must have.
    name : str
        From `choose_engine`.

    Raises
    ------
    UsageError
        If there is no such model here, another one, or one that cannot run.
    """
    with _starting:
        return _start_engine(model, digest, name)


@lru_cache(maxsize=2)
def _start_engine(reference: str, digest: str, name: str) -> "Engine":
    from mudrock_cli.deeplab.model import load_model

    try:
        model = load_model(reference)
        if model.digest != digest:
            raise MudrockError(
                f"{model.path}: another model than where the command runs",
                "install the same mudrock everywhere, or give a folder that all machines share",
            )
        return _SharedEngine(open_engine(model, cast("EngineName", name)))
    except MudrockError as error:
        raise UsageError(error.message, error.hint) from error


_WORKFLOW = "groundtruth"


def name_workflow(model: "TrainedModel") -> str | None:
    """Return a hash of the settings by which the workflow votes, if a model gives it a say."""
    if not any(model.recipe.inference.workflow):
        return None
    from mudrock_cli.classical.recipe import load_recipe

    return load_recipe(_WORKFLOW).digest


def ask_workflow(
    recipe: "Recipe",
    micrograph: "Micrograph",
    temperature: float = 1.0,
    mapper: Map = map,
) -> "Opinion | None":
    """Return what the classical workflow sees, if the recipe of a model gives it a say.

    Network and workflow err differently: one knows textures, the other distances. It has no say
    where its recipe does not apply: where pixels are too coarse for its pores, or a micrograph is
    of one grey; and it cannot tell silt from clay where the field hardly holds a grain. The
    temperature that calibrates a network softens the workflow's say alike.
    """
    if not any(recipe.inference.workflow):
        return None
    clay, silt, solid, pore = (weight / temperature for weight in recipe.inference.workflow)
    from dataclasses import replace

    import numpy as np

    from mudrock_cli.classical.recipe import load_recipe
    from mudrock_cli.classical.workflow import candidate_phases
    from mudrock_cli.deeplab.inference import Opinion
    from mudrock_cli.image.types import PixelSize

    # Like the network, which takes a micrograph without a pixel size as if it had the model's.
    size = micrograph.pixel_size or PixelSize(recipe.data.nm_per_pixel, "that of the model")
    steps = load_recipe(_WORKFLOW)
    if not steps.contrast.shows(size.nm):
        return None
    tells_silt = steps.tells_silt(micrograph.specimen.shape, size.nm)
    try:
        votes = candidate_phases(replace(micrograph, pixel_size=size), steps, mapper)
    except MudrockError:
        return None
    shares = np.eye(3, dtype=np.float32)
    return Opinion(votes, shares, (clay, silt, solid, pore), tells_silt=tells_silt)


# What a model knows: measured on what it was trained on, and compared with what it is shown.

_MOST = 60  # micrographs; more hardly widen the span


def measure_domain(model: "TrainedModel", micrographs: Sequence["Micrograph"]) -> "TrainedModel":
    """Measure the micrographs that a model was trained on, and add their span to its card.

    ``card.md`` and ``card.json`` are written anew; what the model predicts, and its hash, stay.

    Parameters
    ----------
    model : TrainedModel
        The finished model. It segments the micrographs as `segment` would, to learn its doubt.
    micrographs : sequence of Micrograph
        What it was trained on, whole, without copied rows and columns; of more than sixty, at most
        sixty spread evenly are measured. Fewer than three span nothing, and the card stays as it
        is.

    Returns
    -------
    TrainedModel
        The same folder, loaded with its new card.

    Raises
    ------
    MudrockError
        If a micrograph cannot be read, or the folder not be written.
    """
    from mudrock_cli.deeplab.model import describe_model, seal_model
    from mudrock_cli.deeplab.training_range import (
        DOUBT,
        LEAST,
        describe_appearance,
        span_domain,
        write_domain,
    )
    from mudrock_cli.files import write_text

    if len(micrographs) < LEAST:
        return model
    engine = None if is_forest(model) else open_engine(model)
    figures = []
    for micrograph in micrographs[:: -(-len(micrographs) // _MOST)]:
        figures.append(describe_appearance(micrograph, model.nm_per_pixel))
        if engine is not None:
            figures[-1][DOUBT] = _doubt(model, engine, micrograph)
    facts = {key: value for key, value in model.card.items() if key != "sha256"}
    facts["domain"] = write_domain(span_domain(figures))
    write_text(model.path / "card.md", describe_model(model.name, model.recipe, facts))
    return seal_model(model.path, facts)


def compare_with_domain(
    job: "Job", seen: "Micrograph", model: "TrainedModel", domain: "Domain", doubt: float
) -> dict[str, Any]:
    """Compare a micrograph with those that a model was trained on, and warn where it is unlike.

    Parameters
    ----------
    job : Job
        The micrograph's name, and where warnings go.
    seen : Micrograph
        What the model was shown: the micrograph without copied rows and columns.
    model : TrainedModel
        What segmented it.
    domain : mapping of str to Limits
        What the model knows, from `read_domain`.
    doubt : float
        The model's mean entropy on it.

    Returns
    -------
    dict
        For the results of the mask: ``appearance``, the figures, and ``outside_domain``, the names
        of those that the training micrographs do not span. Empty where `domain` is.
    """
    from mudrock_cli.deeplab.training_range import (
        DOUBT,
        describe_appearance,
        find_outside,
        tell_outside,
    )

    if not domain:
        return {}
    figures = describe_appearance(seen, model.nm_per_pixel)
    outside = find_outside(domain, figures | {DOUBT: doubt})
    if outside:
        told = tell_outside(domain, figures | {DOUBT: doubt})
        job.warn(
            "unlike what the model was trained on",
            f"{job.micrograph.path or job.micrograph.name}: unlike what the model {model.name} was "
            f"trained on: {told}; check the overlay",
        )
    return {"appearance": figures, "outside_domain": outside}


def _doubt(model: "TrainedModel", engine: "Engine", micrograph: "Micrograph") -> float:
    """Return the mean entropy of a micrograph's phases, as `segment` finds it."""
    from mudrock_cli.deeplab.inference import segment_bands

    bands = segment_bands(
        micrograph,
        engine,
        model.recipe,
        opinion=ask_workflow(model.recipe, micrograph, model.temperature),
    )
    box = micrograph.specimen
    return sum(band.entropy for band in bands) / max(1, box.height * box.width)
