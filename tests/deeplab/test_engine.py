import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mudrock_cli.deeplab import engine as engines
from mudrock_cli.deeplab.engine import OpenVinoEngine, choose_engine, open_engine
from mudrock_cli.deeplab.model import TrainedModel, seal_model
from mudrock_cli.errors import MudrockError


def softmax_of_thresholds(grey: np.ndarray) -> np.ndarray:
    """What the tiny model computes, in double precision."""
    logits = np.stack([0 * grey, 0.2 * (grey - 180.0), 0.2 * (60.0 - grey)], axis=-1)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("count", [1, 3, 37])
def test_each_tile_gets_its_own_answer(tiny_model: TrainedModel, count: int) -> None:
    rng = np.random.default_rng(count)
    tiles = rng.integers(0, 256, (count, 64, 64)).astype(np.uint8)
    engine = OpenVinoEngine(tiny_model)
    found = engine.predict(tiles)
    assert found.dtype == np.float32
    assert found.shape == (count, 64, 64, 3)
    assert np.abs(found - softmax_of_thresholds(tiles.astype(float))).max() < 0.06  # bfloat16
    assert np.abs(found.sum(axis=-1) - 1).max() < 0.01
    assert np.array_equal(engine.predict(tiles), found)  # whatever stream took which tile


def test_whole_numbers_and_floats_are_the_same_grey(tiny_model: TrainedModel) -> None:
    tiles = np.random.default_rng(0).integers(0, 256, (2, 64, 64)).astype(np.uint8)
    engine = OpenVinoEngine(tiny_model)
    assert np.array_equal(engine.predict(tiles), engine.predict(tiles.astype(np.float32)))


def test_a_network_of_another_size_is_refused(tmp_path: Path, tiny_model: TrainedModel) -> None:
    folder = Path(shutil.copytree(tiny_model.path, tmp_path / "m"))
    (folder / "cpu.xml").write_text("<net/>", "utf-8")
    with pytest.raises(MudrockError, match=r"cpu\.xml: OpenVINO cannot run it"):
        open_engine(seal_model(folder, {}), "openvino")


def test_auto_is_openvino_without_a_gpu(
    tiny_model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "has_gpu", lambda: False)
    assert choose_engine(tiny_model) == "openvino"
    assert choose_engine(tiny_model, "keras") == "keras"
    monkeypatch.setattr(engines, "has_gpu", lambda: True)
    assert choose_engine(tiny_model) == "keras"
    assert choose_engine(tiny_model, "openvino") == "openvino"


@pytest.mark.parametrize("hidden", ["", "-1", " "])
def test_a_hidden_gpu_is_none(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    monkeypatch.setitem(os.environ, "CUDA_VISIBLE_DEVICES", hidden)
    assert not engines.has_gpu()


@pytest.mark.parametrize(("platform", "usable"), [("gpu", True), ("cpu", False)])
def test_a_gpu_is_found_by_jax(
    monkeypatch: pytest.MonkeyPatch, platform: str, usable: bool
) -> None:
    import keras

    device = SimpleNamespace(platform=platform)
    monkeypatch.setattr(Path, "glob", lambda *_: iter([Path("/dev/nvidia0")]))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(devices=lambda: [device]))
    assert engines.has_gpu() == usable


def test_openvino_reports_nothing_to_anybody(tiny_model: TrainedModel) -> None:
    code = (
        "import sys; from mudrock_cli.deeplab.engine import open_engine\n"
        "from mudrock_cli.deeplab.model import load_model\n"
        f"open_engine(load_model({str(tiny_model.path)!r}), 'openvino')\n"
        "assert 'openvino' in sys.modules\n"
        "assert not [name for name, found in sys.modules.items() if 'telemetry.' in name and found]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
