"""Valid tables, recipes, lists and models, small and made here, to be broken."""

import hashlib
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from hostile_seeds import Seed, make_phases


def make_record_seeds() -> list[Seed]:
    """Return everything that is no image."""
    return [*_tables(), *_texts()]


def _tables() -> Iterator[Seed]:
    from typer.testing import CliRunner

    from mudrock_cli.cli import app
    from mudrock_cli.image.mask import PhaseMask, write_mask
    from mudrock_cli.image.types import PixelSize

    with tempfile.TemporaryDirectory() as folder:
        phases = np.repeat(np.repeat(make_phases() % 3, 4, 0), 4, 1)
        mask = PhaseMask.from_array("m", phases, PixelSize(500, "test"), {"method": "segment"})
        write_mask(Path(folder, "m.tif"), mask)
        out = Path(folder, "report.parquet")
        done = CliRunner().invoke(app, ["stats", folder, "--out", str(out)])
        if done.exit_code:
            raise RuntimeError(done.output)
        instances = out.read_bytes()
        summary = out.with_name("report.summary.parquet").read_bytes()
    first = {"report.parquet": instances, "report.summary.parquet": summary}
    yield Seed("instance table", "tables", first)
    yield Seed("summary table", "summary", dict(reversed(first.items())))


def _texts() -> Iterator[Seed]:
    from mudrock_cli.classical.recipe import WorkflowRecipe
    from mudrock_cli.config import to_toml
    from mudrock_cli.deeplab.recipe import Recipe

    recipe = Recipe().to_toml().encode()
    yield Seed("recipe of a network", "recipe", {"recipe.toml": recipe})
    workflow = to_toml(WorkflowRecipe()).encode()
    yield Seed("recipe of the workflow", "workflow", {"recipe.toml": workflow})
    yield Seed("random forest", "forest", _forest())
    yield Seed(
        "split as CSV", "split", {"split.csv": b"name,part\na,train\nb,validation\nc,test\n"}
    )
    groups = b"name,sample,depth\na,one,10\nb,two,20\n"
    yield Seed("groups as CSV", "groups", {"groups.csv": groups})
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **{"a/kernel": np.ones((3, 3)), "a/bias": np.zeros(3, np.float32)})
    yield Seed("weights", "weights", {"weights.npz": arrays.getvalue()})
    yield _model(recipe, arrays.getvalue())


def _forest() -> dict[str, bytes]:
    from mudrock_cli.classical.forest import Forest, ForestRecipe, Trees, name_responses

    recipe = ForestRecipe(trees=2, depth=2, scales=(1.0,))
    count = len(name_responses(recipe.scales))
    high, nothing = np.ones(count, np.float32), np.zeros((2, 4), np.uint8)
    trees = Trees(nothing, nothing, np.full((2, 4, 3), 1 / 3, np.float16))
    forest = Forest(recipe, -high, high, trees, np.full(3, 1 / 3, np.float32))
    with tempfile.TemporaryDirectory() as folder:
        forest.save(Path(folder))
        names = ("recipe.toml", "weights.npz")
        return {name: Path(folder, name).read_bytes() for name in names}


def _model(recipe: bytes, weights: bytes) -> Seed:
    files = {"recipe.toml": recipe, "weights.npz": weights}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    card = json.dumps({"temperature": 1.25, "iou": {"clay": 0.5}, "sha256": hashes}, indent=1)
    return Seed("model folder", "model", {"card.json": card.encode(), **files})
