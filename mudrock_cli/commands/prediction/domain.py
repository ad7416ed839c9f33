"""What a model knows: measured on what it was trained on, and compared with what it is shown."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mudrock_cli.commands.batch.jobs import Job
    from mudrock_cli.deeplab.inference.engine import Engine
    from mudrock_cli.deeplab.model.domain import Domain
    from mudrock_cli.deeplab.model.zoo import TrainedModel
    from mudrock_cli.image.micrograph import Micrograph

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
    from mudrock_cli.commands.prediction.engines import is_forest, open_engine
    from mudrock_cli.deeplab.model.card import describe_model
    from mudrock_cli.deeplab.model.domain import DOUBT, LEAST, span_domain, write_domain
    from mudrock_cli.deeplab.model.zoo import seal_model
    from mudrock_cli.image.appearance import describe_appearance
    from mudrock_cli.image.placement import write_text

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
    from mudrock_cli.deeplab.model.domain import DOUBT, find_outside, tell_outside
    from mudrock_cli.image.appearance import describe_appearance

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
    from mudrock_cli.commands.prediction.engines import ask_workflow
    from mudrock_cli.deeplab.inference.segmenter import segment_bands

    bands = segment_bands(
        micrograph,
        engine,
        model.recipe,
        opinion=ask_workflow(model.recipe, micrograph, model.temperature),
    )
    box = micrograph.specimen
    return sum(band.entropy for band in bands) / max(1, box.height * box.width)
