"""Model folders and weights made to harm: refused in a line, and nothing in them runs."""

import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from mudrock_cli.deeplab.engine import open_engine
from mudrock_cli.deeplab.model import TrainedModel, load_model, seal_model
from mudrock_cli.deeplab.recipe import Recipe
from mudrock_cli.deeplab.weights import check_hdf5, read_hdf5
from mudrock_cli.errors import MudrockError
from mudrock_cli.files import read_named_arrays


class Payload:
    """Makes a file wherever it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def payload(tmp_path: Path) -> Iterator[Payload]:
    """What must never run; that it could is proven first."""
    pickle.loads(pickle.dumps(Payload(tmp_path / "proof")))
    assert (tmp_path / "proof").is_dir()
    yield Payload(tmp_path / "marker")
    assert not (tmp_path / "marker").exists()


@pytest.fixture
def folder(tmp_path: Path, tiny_model: TrainedModel) -> Path:
    return Path(shutil.copytree(tiny_model.path, tmp_path / "model"))


def refused(act: Callable[[], object], told: str, path: Path) -> None:
    with pytest.raises(MudrockError, match=told) as caught:
        act()
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 500


def write_npz(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def npy(header: dict[str, object], data: bytes = b"") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + data


def describe(*shape: int, kind: str = "<f4") -> dict[str, object]:
    return {"descr": kind, "fortran_order": False, "shape": shape}


def test_a_pickle_instead_of_weights(folder: Path, payload: Payload) -> None:
    weights = folder / "weights.npz"
    weights.write_bytes(pickle.dumps(payload))
    seal_model(folder, {})
    refused(lambda: read_named_arrays(weights), "no whole file of named arrays", weights)
    with weights.open("wb") as stream:
        np.save(stream, np.array([payload], object), allow_pickle=True)
    refused(lambda: read_named_arrays(weights), "no whole file of named arrays", weights)


def test_pickles_among_the_arrays(folder: Path, payload: Payload) -> None:
    weights = folder / "weights.npz"
    np.savez(weights, good=np.zeros(3), bad=np.array([payload], object))
    refused(lambda: read_named_arrays(weights), "holds object, no numbers", weights)
    write_npz(weights, {"a.npy": npy(describe(0)), "data.pkl": pickle.dumps(payload)})
    refused(lambda: read_named_arrays(weights), "data.pkl is no array", weights)


@pytest.mark.parametrize("name", ["../../marker", "/marker", "..\\marker"])
def test_names_that_lead_elsewhere_stay_names(tmp_path: Path, name: str, payload: Payload) -> None:
    weights = tmp_path / "a" / "b" / "weights.npz"
    weights.parent.mkdir(parents=True)
    write_npz(weights, {f"{name}.npy": npy(describe(1), bytes(4))})
    before = sorted(tmp_path.rglob("*"))
    assert list(read_named_arrays(weights)) == [name]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("member", "told"),
    [
        (npy(describe(1 << 38), bytes(64)), "promises 1099511627776 bytes"),
        (npy(describe(1 << 40, 1 << 40), bytes(64)), "promises"),
        (npy(describe(-1, 4), bytes(64)), "promises -16 bytes"),
        (npy(describe(4, kind="<f8"), bytes(16)), "promises 32 bytes"),
        (npy(describe(4, kind="<U8"), bytes(128)), "no numbers"),
        (b"\x93NUMPY\x03\0" + bytes(64), "version"),
        (b"\x93NUMPY\x01\0\x10\0__import__('os')", "no whole file"),
    ],
)
def test_arrays_that_promise_more_than_there_is(tmp_path: Path, member: bytes, told: str) -> None:
    write_npz(tmp_path / "w.npz", {"a.npy": member})
    refused(lambda: read_named_arrays(tmp_path / "w.npz"), told, tmp_path / "w.npz")


def test_a_zip_bomb(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    write_npz(path, {"a.npy": npy(describe(300 << 18), bytes(300 << 20))})
    assert path.stat().st_size < 1e6
    refused(lambda: read_named_arrays(path), "looks like a bomb", path)


@pytest.mark.parametrize("name", ["weights.npz", "recipe.toml", "cpu.bin"])
def test_a_pipe_is_not_waited_for(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    refused(lambda: load_model(str(folder)), "not a file", folder / name)


def test_an_archive_of_keras_is_no_start_and_no_model(folder: Path, payload: Payload) -> None:
    layer = {"class_name": "Lambda", "config": {"function": {"class_name": "__lambda__"}}}
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(layer))
        archive.writestr("payload.pkl", pickle.dumps(payload))
    seal_model(folder, {})  # what else lies in the folder is never opened
    assert load_model(str(folder)).compiled is not None
    card = json.loads((folder / "card.json").read_text("utf-8"))
    card["sha256"]["model.keras"] = "0"
    (folder / "card.json").write_text(json.dumps(card), "utf-8")
    refused(lambda: load_model(str(folder)), r"names model\.keras", folder)
    refused(lambda: read_named_arrays(folder / "model.keras"), "no array", folder)


@pytest.mark.parametrize("card", ["[" * 100_000, '{"sha256":' * 100_000, "9" * 5000])
def test_a_card_that_nests_or_counts_without_end(folder: Path, card: str) -> None:
    (folder / "card.json").write_text(card, "utf-8")
    refused(lambda: load_model(str(folder)), "not valid JSON", folder)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('architecture = "unet"\nencoder = "plain"\nunet_channels = 512\nunet_levels = 6', "4096"),
        (f"rates = [{'6,' * 10_000}]", "rates"),
        (f"aspp_channels = {'9' * 400}", "aspp_channels"),
        (f"batch_norm_decay = {'9' * 400}", "network.batch_norm_decay cannot be"),
        ("decoder_channels = 4096", "decoder_channels"),
    ],
)
def test_a_recipe_of_absurd_sizes(text: str, told: str) -> None:
    with pytest.raises(MudrockError) as caught:
        Recipe.from_toml(f"[network]\n{text}\n", "recipe.toml")
    assert told in f"{caught.value.message} {caught.value.hint}"
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 100_000, "a = " + "{b=" * 100_000, "9" * 9000, ".".join("a" * 90_000)]
)
def test_a_recipe_that_nests_without_end(text: str) -> None:
    with pytest.raises(MudrockError, match="not valid TOML"):
        Recipe.from_toml(text, "recipe.toml")


def _link(file: h5py.File, other: Path) -> None:
    file["a"] = h5py.ExternalLink(str(other), "/secret")


def _soft_link(file: h5py.File, other: Path) -> None:
    file["a"] = h5py.SoftLink("/b")


def _circle(file: h5py.File, other: Path) -> None:
    file.create_group("a")["b"] = file["/"]


def _external(file: h5py.File, other: Path) -> None:
    file.create_dataset("a", (4,), "u1", external=[(str(other), 0, 4)])


def _virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource(str(other), "secret", (4,))
    file.create_virtual_dataset("a", layout)


def _bomb(file: h5py.File, other: Path) -> None:
    file.create_dataset("a", (1 << 32,), "f4", chunks=(1 << 20,), fillvalue=1)


def _strings(file: h5py.File, other: Path) -> None:
    file["a"] = ["__import__('os')"]


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (_link, "a is a link"),
        (_soft_link, "a is a link"),
        (_circle, "leads back"),
        (_external, "a points at another file"),
        (_virtual, "a points at another file"),
        (_bomb, "looks like a bomb"),
        (_strings, "a holds no numbers"),
    ],
)
def test_hdf5_that_leads_out_of_itself(
    tmp_path: Path, write: Callable[[h5py.File, Path], None], told: str
) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.arange(4, dtype=np.uint8)
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        write(file, other)
    for read in (read_hdf5, check_hdf5):
        refused(lambda read=read: read(path), told, path)


def test_hdf5_of_numbers_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["layer/kernel"] = np.arange(3.0)
    assert list(read_hdf5(tmp_path / "w.h5")["layer/kernel"]) == [0, 1, 2]


def swap(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


def edit_network(folder: Path, change: Callable[[str], str]) -> TrainedModel:
    place = folder / "cpu.xml"
    text = place.read_text("utf-8")
    assert change(text) != text
    place.write_text(change(text), "utf-8")
    return seal_model(folder, {})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (swap('type="SoftMax" version="opset8"', 'type="Run" version="extension"'), "Run is none"),
        (swap('type="SoftMax" version="opset8"', 'type="Loop" version="opset5"'), "Loop is none"),
        (swap('type="SoftMax" version="opset8"', 'type="If" version="opset8"'), "If is none"),
        (swap('offset="0"', 'offset="99999999"'), r"not all in cpu\.bin"),
        (swap('offset="0"', 'offset="-8"'), r"not all in cpu\.bin"),
        (
            swap("<net ", '<!DOCTYPE n [<!ENTITY e SYSTEM "file:///etc/passwd">]><net '),
            "no network",
        ),
        (lambda text: "\x08\x09:" + text, "no network"),  # how an ONNX model begins
        (lambda text: "<net>" * 100_000, "no network"),
        (swap("</net>", ""), "no network"),
        (swap('shape="1, 1, 1, 3"', 'shape="1, 1, 3, 1"'), "OpenVINO cannot run it|gives"),
    ],
)
def test_a_compiled_network_that_is_none(
    folder: Path, change: Callable[[str], str], told: str
) -> None:
    model = edit_network(folder, change)
    refused(lambda: open_engine(model, "openvino"), told, folder / "cpu.xml")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_of_a_compiled_network_that_are_none(folder: Path, value: float) -> None:
    numbers = np.frombuffer((folder / "cpu.bin").read_bytes(), np.uint8).copy()
    kind = np.float16 if 'element_type="f16"' in (folder / "cpu.xml").read_text() else np.float32
    numbers[: np.dtype(kind).itemsize] = np.array([value], kind).view(np.uint8)
    (folder / "cpu.bin").write_bytes(numbers.tobytes())
    model = seal_model(folder, {})
    refused(lambda: open_engine(model, "openvino"), "not finite", folder / "cpu.xml")
