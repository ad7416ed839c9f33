from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mudrock_cli.errors import MudrockError
from mudrock_cli.report.figures import draw_curves


def row(epoch: int, validated: bool) -> dict[str, float | None]:
    names = ("loss", "pixel_accuracy", "iou_clay", "iou_silt", "iou_pore")
    figures: dict[str, float | None] = {"epoch": epoch} | dict.fromkeys(names, 0.5)
    if validated:
        figures |= {f"validation_{name}": 0.4 for name in names} | {"validation_iou_pore": None}
    return figures


@pytest.mark.parametrize("epochs", [1, 5])
@pytest.mark.parametrize("validated", [False, True])
def test_curves_are_drawn_for_any_history(tmp_path: Path, epochs: int, validated: bool) -> None:
    path = tmp_path / "curves.png"
    draw_curves(path, [row(epoch + 1, validated) for epoch in range(epochs)])
    with Image.open(path) as picture:
        grey = np.asarray(picture.convert("L"))
    assert grey.shape[1] > 1000
    assert (grey[:, :60] < 128).any()  # nothing is left empty at the side
    assert [item.name for item in tmp_path.iterdir()] == ["curves.png"]


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "none").write_text("a file")
    with pytest.raises(MudrockError, match=r"curves\.png: cannot be written"):
        draw_curves(tmp_path / "none" / "curves.png", [row(1, True)])
