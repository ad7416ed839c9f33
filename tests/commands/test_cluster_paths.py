"""Paths and a cluster: what workers see, and what their messages call it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mudrock_cli.commands import cluster
from mudrock_cli.commands.cluster import as_typed, check_paths, error_as_typed
from mudrock_cli.errors import MudrockError, UsageError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "text", "told"),
    [
        (["in/a.tif"], "{}/in/a.tif: broken", "in/a.tif: broken"),
        (["a.tif", "."], "{0}/a.tif: not {0}/a.txt in {0}", "a.tif: not a.txt in ."),
        (["../x/a.tif", "../x"], "no {}/../x/a.txt", "no ../x/a.txt"),
        (["in"], "{0}/in/a.tif, {0}/inner/b, {0}/in.zarr", "in/a.tif, {0}/inner/b, {0}/in.zarr"),
        (["."], "/other{}/a.tif", "/other{}/a.tif"),
        (["a b/c (1).tif"], "{}/a b/c (1).tif: broken", "a b/c (1).tif: broken"),
        ([], "{}/a.tif", "{}/a.tif"),
    ],
)  # fmt: skip
def test_paths_become_what_was_typed(here: Path, typed: list[str], text: str, told: str) -> None:
    assert as_typed(text.format(here, here, here), map(Path, typed)) == told.format(here)


def test_an_absolute_path_that_was_typed_stays(here: Path) -> None:
    places = [Path("a.tif"), Path(), here / "masks"]
    text = f"{here}/a.tif: {here}/masks/a.tif was edited"
    assert as_typed(text, places) == f"a.tif: {here}/masks/a.tif was edited"


@pytest.mark.parametrize("kind", [MudrockError, UsageError])
def test_errors_stay_of_their_kind(here: Path, kind: type[MudrockError]) -> None:
    told = error_as_typed(kind(f"{here}/a.tif: broken", f"look at {here}/a.tif"), [Path("a.tif")])
    assert type(told) is kind
    assert (told.message, told.hint) == ("a.tif: broken", "look at a.tif")


class OneWorker:
    """A worker in this process, from which some files and folders are hidden."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *hidden: Path) -> None:
        self.rounds = 0
        self._hidden = [path.absolute() for path in hidden]
        self._patch = monkeypatch

    def ask(self, question: Callable[[Any], Any], part: Any) -> dict[str, Any]:
        self.rounds += 1
        with self._patch.context() as patch:
            patch.setattr(os.path, "exists", lambda path: not self._hides(Path(path)))
            return {"tcp://w:1": question(part)}

    def _hides(self, path: Path) -> bool:
        return any(path.is_relative_to(place) for place in self._hidden) or not path.is_file()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two files in each of three folders, as a user in the folder above types them."""
    monkeypatch.chdir(tmp_path)
    found = [Path(folder) / name for folder in ("a", "b", "b/c") for name in ("1.tif", "2.tif")]
    for path in found:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    Path("out").mkdir()
    return found


def test_all_is_seen_in_one_round(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    worker = OneWorker(monkeypatch)
    check_paths(worker, [*files, Path("a/none.tif")], [], Path("out"))  # type: ignore[arg-type]
    assert worker.rounds == 1
    assert not list(Path("out").iterdir())


@pytest.mark.parametrize(
    ("hidden", "told"),
    [
        ("a", "a/1.tif: the worker tcp://w:1 does not see it"),
        ("b/c", "b/c/1.tif: the worker tcp://w:1 does not see it"),
        ("out", "out: the worker tcp://w:1 does not see it, or has another folder of its name"),
    ],
)
def test_every_folder_is_looked_for(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, hidden: str, told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        check_paths(OneWorker(monkeypatch, Path(hidden)), files, out=Path("out"))  # type: ignore[arg-type]
    assert caught.value.message == told
    assert "file system" in caught.value.hint
    assert not list(Path("out").iterdir())


def test_a_folder_that_workers_cannot_write_is_told(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(dir: Path) -> None:  # noqa: A002
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cluster.tempfile, "TemporaryFile", refuse)
    with pytest.raises(UsageError, match="out: the worker tcp://w:1 cannot write there"):
        check_paths(OneWorker(monkeypatch), files, out=Path("out"))  # type: ignore[arg-type]


def test_a_model_folder_is_looked_for(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model = Path("model")
    model.mkdir()
    with pytest.raises(UsageError, match="model: the worker tcp://w:1 does not see it"):
        check_paths(OneWorker(monkeypatch, model), files, [model])  # type: ignore[arg-type]
