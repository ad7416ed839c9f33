"""Everything that decides a model, put together before anything is trained."""

from dataclasses import dataclass
from pathlib import Path

from mudrock_cli.deeplab.data.dataset import Sample
from mudrock_cli.deeplab.data.split import Split
from mudrock_cli.deeplab.inference.opinion import Ask
from mudrock_cli.deeplab.recipes.recipe import Recipe

WORK = "training"  # below the model folder: checkpoints, logs, the options
HELD_OUT = "held-out"  # below that: masks of micrographs by networks that did not train on them


@dataclass(frozen=True)
class Campaign:
    """Everything that decides a model.

    Parameters
    ----------
    recipe : Recipe
        Of the network.
    samples : tuple of Sample
        Whole micrographs, or tiles where the split divides tiles.
    split : Split
        Of the training that gives the model.
    folds : tuple of Split
        Trainings before it that only judge: each holds some parents out.
    out : Path
        The model folder.
    init : str
        See `give_start`.
    data : str
        What the data is called on the card.
    phantoms : tuple of Sample
        Synthetic fields that every training sees beside its micrographs.
    ask : callable
        Gives another method's opinion of a micrograph that is judged, as `segment` would.
    """

    recipe: Recipe
    samples: tuple[Sample, ...]
    split: Split
    folds: tuple[Split, ...]
    out: Path
    init: str
    data: str
    phantoms: tuple[Sample, ...] = ()
    ask: Ask = lambda micrograph: None

    @property
    def work(self) -> Path:
        """Where checkpoints and logs go."""
        return self.out / WORK
