"""One network, one answer: TensorFlow, PyTorch and JAX, each in a process of its own."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

pytestmark = pytest.mark.network

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from mudrock_cli.deeplab.dataset import Sample
from mudrock_cli.deeplab.network import build_network
from mudrock_cli.deeplab.recipe import Recipe
from mudrock_cli.deeplab.training import complete_recipe, train_network

class Silent:
    def on_step(self, epoch, step, steps, figures): pass
    def on_epoch(self, row): print(row["loss"])

def fill(network):
    rng = np.random.default_rng(0)
    for weight in sorted(network.weights, key=lambda weight: weight.path):
        low, high = (0.8, 1.2) if weight.path.endswith(("variance", "gamma")) else (-0.1, 0.1)
        if len(weight.shape) == 4:
            inputs = np.prod(weight.shape[:2 if "depthwise" in weight.path else 3])
            low, high = -np.sqrt(6 / inputs), np.sqrt(6 / inputs)
        weight.assign(rng.uniform(low, high, weight.shape).astype(np.float32))

network = {
    "encoder": "mobilenetv2", "output_stride": 16, "aspp_channels": 8, "decoder_channels": 8,
    "low_level_channels": 8, "detail_channels": 8, "batch_norm_decay": 0.9,
}
unet = {"architecture": "unet", "encoder": "plain", "unet_channels": 4, "unet_levels": 1}
rng = np.random.default_rng(1)
grey = rng.uniform(0, 255, (2, 64, 96, 1)).astype(np.float32)
found = {}
deeplab = build_network(Recipe.from_dict({"network": network}).network, 64, 96)
fill(deeplab)
found["deeplab"] = deeplab.predict(grey, verbose=0)

recipe = Recipe.from_dict({
    "network": unet,
    "data": {"crop": (32, 48), "tile": (0, 0)},
    "loss": {"dice": 0.5, "weight_decay": 1e-3},
    "optimizer": {"rate": 0.01, "decay_steps": 0, "warmup_steps": 2},
    "training": {
        "batch": 2, "epochs": 2, "steps_per_epoch": 2, "average": 0.5
    },
})
levels = rng.integers(0, 255, (64, 96)).astype(np.uint8)
labels = (levels // 86).astype(np.uint8)
labels[:9] = 255
sample = Sample("a", "a", levels, labels)
trained = train_network(
    complete_recipe(recipe, [sample]), [sample], [sample], Path(sys.argv[1]), fill, Silent()
)
np.savez(Path(sys.argv[1], "found.npz"), **found, **trained.weights)
"""


def run_program(program: str, backend: str, folder: Path) -> None:
    environment = os.environ | {
        "KERAS_BACKEND": backend,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    command = [sys.executable, "-c", program, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def run(backend: str, folder: Path) -> dict[str, npt.NDArray[np.float32]]:
    run_program(PROGRAM, backend, folder)
    with np.load(folder / "found.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, npt.NDArray[np.float32]]:
    return run("tensorflow", tmp_path_factory.mktemp("tensorflow"))


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_backends_agree(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Logits to 1e-3, and the weights after four steps of training."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    reference = request.getfixturevalue("reference")
    found = run(backend, tmp_path)
    assert reference["deeplab"].shape == (2, 64, 96, 3)
    assert set(found) == set(reference)
    assert np.ptp(reference["deeplab"]) > 0.1
    distances = {name: np.abs(value - reference[name]).max() for name, value in found.items()}
    assert max(distances.values()) < 1e-3, distances


DEVICES = """
import numpy as np
import tensorflow as tf
from pathlib import Path

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
two = tf.config.list_logical_devices("CPU")
import keras
from mudrock_cli.deeplab import weights as backend
from mudrock_cli.deeplab.training import PhaseLoss
from mudrock_cli.deeplab.training import add_weight_decay
from mudrock_cli.deeplab.recipe import LossRecipe

rng = np.random.default_rng(0)
grey = rng.normal(size=(4, 8, 8, 1)).astype(np.float32)
labels = rng.integers(0, 3, (4, 8, 8)).astype(np.uint8)

class Batches(keras.utils.PyDataset):
    def __len__(self): return 2
    def __getitem__(self, step): return grey, labels

def train(found):
    tf.config.list_logical_devices = lambda kind: found
    keras.utils.set_random_seed(0)
    with backend.spread_over_devices() as number:
        image = keras.Input((8, 8, 1))
        network = keras.Model(image, keras.layers.Conv2D(3, 1)(image))
        add_weight_decay(network, 0.1)
        network.compile(keras.optimizers.SGD(0.1), PhaseLoss(LossRecipe()), jit_compile=False)
        history = network.fit(Batches(), verbose=0, shuffle=False)
    return number, history.history["loss"][0], np.asarray(network.weights[0]).ravel()

one, both = train([]), train(two)
assert (one[0], both[0]) == (1, 2)
assert abs(one[1] - both[1]) < 1e-5, (one, both)
assert np.abs(one[2] - both[2]).max() < 1e-6, (one, both)
"""


def test_two_devices_train_as_one(tmp_path: Path) -> None:
    """CPU cores stand for GPUs: the same loss and the same weights."""
    run_program(DEVICES, "tensorflow", tmp_path)
