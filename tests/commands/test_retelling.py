from pathlib import Path

import pytest

from mudrock_cli.commands.cluster import retell, retell_error
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
    assert retell(text.format(here, here, here), map(Path, typed)) == told.format(here)


def test_an_absolute_path_that_was_typed_stays(here: Path) -> None:
    places = [Path("a.tif"), Path(), here / "masks"]
    text = f"{here}/a.tif: {here}/masks/a.tif was edited"
    assert retell(text, places) == f"a.tif: {here}/masks/a.tif was edited"


@pytest.mark.parametrize("kind", [MudrockError, UsageError])
def test_errors_stay_of_their_kind(here: Path, kind: type[MudrockError]) -> None:
    told = retell_error(kind(f"{here}/a.tif: broken", f"look at {here}/a.tif"), [Path("a.tif")])
    assert type(told) is kind
    assert (told.message, told.hint) == ("a.tif: broken", "look at a.tif")
