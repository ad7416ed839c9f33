"""Overlays: colours, outlines, void, scale bar, bands and reduction."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.types import COLOURS, Phase, PixelSize
from mudrock_cli.report import overlay
from mudrock_cli.report import overlay as scale_bar
from mudrock_cli.report.overlay import draw_overlay_by_bands, save_overlay

TEN_NM = PixelSize(10.0, "test")


def scene(height: int = 200, width: int = 300) -> tuple[np.ndarray, np.ndarray]:
    grey = np.random.default_rng(0).integers(60, 200, (height, width)).astype(np.uint8)
    phases = np.zeros((height, width), np.uint8)
    phases[20:80, 20:90] = Phase.SILT
    phases[30:60, 120:160] = Phase.PORE
    phases[100, 50] = Phase.PORE
    phases[-30:] = Phase.VOID
    return grey, phases


def draw_overlay(
    grey: np.ndarray, phases: np.ndarray, pixel_size: PixelSize | None
) -> npt.NDArray[np.uint8]:
    """Draw the overlay of arrays."""
    return draw_overlay_by_bands(
        grey.shape,
        lambda rows, columns: grey[rows, columns],
        lambda rows, columns: phases[rows, columns],
        pixel_size,
    )


def test_clay_is_clear_and_void_is_dimmed() -> None:
    grey, phases = scene()
    rgb = draw_overlay(grey, phases, None)
    clay = phases == Phase.CLAY
    assert (rgb[clay] == grey[clay][:, None]).all()
    void = phases == Phase.VOID
    assert (rgb[void].max(axis=1) <= 0.36 * grey[void] + 1).all()


@pytest.mark.parametrize(("phase", "channel"), [(Phase.SILT, 0), (Phase.PORE, 1)])
def test_phases_lean_to_their_colour_and_keep_the_picture(phase: Phase, channel: int) -> None:
    grey, phases = scene()
    rgb = draw_overlay(grey, phases, None).astype(int)
    inside = rgb[phases == phase]
    assert (inside.argmax(axis=1) == channel).all()
    rows, columns = (
        (slice(25, 75), slice(25, 85)) if channel == 0 else (slice(35, 55), slice(125, 155))
    )
    seen = rgb[rows, columns].sum(axis=2).ravel()
    assert np.corrcoef(seen, grey[rows, columns].ravel())[0, 1] > 0.99


def test_outlines_are_inside_and_a_single_pixel_is_all_outline() -> None:
    grey, phases = scene()
    rgb = draw_overlay(grey, phases, None).astype(int)
    colour = np.array(COLOURS[Phase.SILT])
    away = np.abs(rgb - colour).sum(axis=2)
    assert away[20, 30] < away[50, 50]
    assert (rgb[19, 20:90] == grey[19, 20:90, None]).all()
    pore = np.array(COLOURS[Phase.PORE])
    assert np.abs(rgb[100, 50] - pore).max() <= 0.16 * 255


def test_a_region_cut_by_the_frame_has_no_outline_there() -> None:
    grey = np.full((64, 64), 120, np.uint8)
    rgb = draw_overlay(grey, np.full((64, 64), Phase.SILT, np.uint8), None)
    assert len(np.unique(rgb.reshape(-1, 3), axis=0)) == 1


def test_scale_bar_has_the_length_it_says_and_stays_off_the_data_bar() -> None:
    grey, phases = scene(400, 600)
    rgb = draw_overlay(grey, phases, TEN_NM)
    plain = draw_overlay(grey, phases, None)
    changed = (rgb != plain).any(axis=2)
    assert changed.any()
    assert not changed[phases == Phase.VOID].any()
    white = (rgb == 255).all(axis=2)
    runs = [max(map(len, "".join(".#"[int(v)] for v in row).split("."))) for row in white]
    assert max(runs) == 100  # 600 px x 10 nm = 6 um; at most 22 % of it: 1 um, 100 px


@pytest.mark.parametrize(
    ("longest_um", "length_um", "text"),
    [
        (5.0, 5.0, "5 µm"),
        (4.99, 2.0, "2 µm"),
        (0.5, 0.5, "500 nm"),
        (0.0199, 0.01, "10 nm"),
        (1999.0, 1000.0, "1 mm"),
        (1.0, 1.0, "1 µm"),
        (0.7, 0.5, "500 nm"),
    ],
)
def test_round_lengths(longest_um: float, length_um: float, text: str) -> None:
    assert scale_bar.choose_length_um(longest_um) == pytest.approx(length_um)
    assert scale_bar.format_bar_length(length_um) == text


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (63, 500), (64, 64), (70, 2000)])
def test_small_and_odd_shapes(shape: tuple[int, int]) -> None:
    grey = np.full(shape, 100, np.uint8)
    rgb = draw_overlay(grey, np.zeros(shape, np.uint8), PixelSize(0.3, "test"))
    assert rgb.shape == (*shape, 3)


def test_bands_and_reduction_do_not_change_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    grey, phases = scene(203, 301)
    monkeypatch.setattr(overlay, "MAX_SIDE", 110)
    whole = draw_overlay(grey, phases, TEN_NM)
    assert whole.shape == (68, 101, 3)
    monkeypatch.setattr(overlay, "_BAND_PIXELS", 301 * 4)
    windows: list[int] = []

    def read_grey(rows: slice, columns: slice) -> np.ndarray:
        windows.append(rows.stop - rows.start)
        return grey[rows, columns]

    banded = draw_overlay_by_bands(
        grey.shape, read_grey, lambda rows, columns: phases[rows, columns], TEN_NM
    )
    assert (banded == whole).all()
    assert len(windows) > 10
    assert max(windows) < 40


def test_reduction_averages(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.random.default_rng(1).integers(0, 255, (120, 160)).astype(np.uint8)
    monkeypatch.setattr(overlay, "MAX_SIDE", 80)
    rgb = draw_overlay(grey, np.zeros_like(grey), None)
    expected = grey.reshape(60, 2, 80, 2).mean(axis=(1, 3))
    assert np.abs(rgb[..., 0] - expected).max() <= 0.5


def test_saved_as_png_and_nothing_left_behind(tmp_path: Path) -> None:
    grey, phases = scene()
    rgb = draw_overlay(grey, phases, TEN_NM)
    save_overlay(tmp_path / "new" / "a.png", rgb)
    assert (np.asarray(Image.open(tmp_path / "new" / "a.png")) == rgb).all()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.png"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MudrockError, match=r"a\.png: cannot be written"):
        save_overlay(tmp_path / "file" / "a.png", np.zeros((4, 4, 3), np.uint8))
