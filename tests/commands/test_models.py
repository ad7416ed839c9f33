import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mudrock_cli.cli import app
from mudrock_cli.deeplab.model import TrainedModel


@pytest.fixture(autouse=True)
def _zoo(monkeypatch: pytest.MonkeyPatch, tiny_model: TrainedModel) -> None:
    monkeypatch.setattr("mudrock_cli.deeplab.model.models_folder", lambda: tiny_model.path.parent)


def test_the_table_shows_the_card() -> None:
    result = CliRunner().invoke(app, ["models"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    row = next(line for line in result.stdout.splitlines() if line.startswith("tiny"))
    assert row.split()[:7] == ["tiny", "mobilenetv2", "10", "8–12.5", "0.500", "0.250", "–"]
    assert all(len(line) <= 80 for line in result.stdout.splitlines()[:-1])


def test_json_holds_the_whole_card(tiny_model: TrainedModel) -> None:
    result = CliRunner().invoke(app, ["models", "--json"])
    line = json.loads(result.stdout)
    assert line["name"] == "tiny"
    assert line["iou"] == {"clay": 0.5, "silt": 0.25, "pore": None}
    assert line["sha256"] == tiny_model.card["sha256"]


def test_a_changed_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "card.json").write_text("{}", "utf-8")
    monkeypatch.setattr("mudrock_cli.deeplab.model.models_folder", lambda: tmp_path)
    result = CliRunner().invoke(app, ["models"])
    assert result.exit_code == 1
    assert "has no table of SHA-256 hashes" in result.stderr
