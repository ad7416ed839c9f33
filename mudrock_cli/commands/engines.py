"""What predicts for a model: the network's engines, or the forest, which is no network."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mudrock_cli.classical.forest import Forest
    from mudrock_cli.deeplab.engine import Engine, EngineName
    from mudrock_cli.deeplab.zoo import TrainedModel


class ForestEngine:
    """A random forest as a `deeplab.engine.Engine`."""

    def __init__(self, forest: "Forest", tile: int) -> None:
        self.name = "forest"
        self.tile = tile
        self.batch = 1
        self._forest = forest

    def predict(
        self, tiles: "npt.NDArray[np.uint8] | npt.NDArray[np.float32]"
    ) -> "npt.NDArray[np.float32]":
        """Return the phase probabilities of tiles, shape (N, tile, tile, 3)."""
        import numpy as np

        whole = np.asarray(np.rint(tiles), np.uint8)
        return np.stack([self._forest.predict(np.ascontiguousarray(tile)) for tile in whole])


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
