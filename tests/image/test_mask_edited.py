import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.mask import PhaseMask, open_mask, write_mask
from mudrock_cli.image.types import COLOURS, Phase, PixelSize, palette

Phases = npt.NDArray[np.uint8]
ORDER = {0: 2, 1: 0, 2: 255, 3: 1}
"""A colour table in another order: index to phase."""


def _permuted(phases: Phases) -> tuple[Phases, Phases]:
    """Return indices and their colour table (4, 3) with the phases in another order."""
    index = np.zeros_like(phases)
    for number, phase in ORDER.items():
        index[phases == phase] = number
    return index, np.array([COLOURS[Phase(phase)] for phase in ORDER.values()], np.uint8)


def fiji_palette(path: Path, phases: Phases) -> None:
    # ImageJ writes the colour table as 8-bit values in the upper byte.
    tifffile.imwrite(
        path,
        phases,
        photometric="palette",
        colormap=palette().T.astype(np.uint16) * 256,
        description="ImageJ=1.54f\nunit=micron\n",
        metadata=None,
        resolution=(100, 100),
    )


def fiji_black(path: Path, phases: Phases) -> None:
    # What is painted black in ImageJ gets the first index of that colour, not 255.
    fiji_palette(path, np.where(phases == Phase.VOID, 3, phases).astype(np.uint8))


def fiji_rgb(path: Path, phases: Phases) -> None:
    tifffile.imwrite(path, palette()[phases], photometric="rgb", byteorder=">")


def gimp_permuted(path: Path, phases: Phases) -> None:
    index, table = _permuted(phases)
    image = Image.fromarray(index)
    image.putpalette(table.tobytes())
    image.save(path)


def gimp_tiff_permuted(path: Path, phases: Phases) -> None:
    index, table = _permuted(phases)
    full = np.zeros((3, 256), np.uint16)
    full[:, :4] = table.T.astype(np.uint16) * 257
    tifffile.imwrite(path, index, photometric="palette", colormap=full, compression="lzw")


def gimp_rgba(path: Path, phases: Phases) -> None:
    alpha = np.full((*phases.shape, 1), 255, np.uint8)
    Image.fromarray(np.concatenate([palette()[phases], alpha], -1)).save(path)


def erased_rgba(path: Path, phases: Phases) -> None:
    colours = np.concatenate([palette()[phases], np.full((*phases.shape, 1), 255, np.uint8)], -1)
    colours[phases == Phase.VOID] = 0
    Image.fromarray(colours).save(path)


def rgb_png(path: Path, phases: Phases) -> None:
    Image.fromarray(palette()[phases]).save(path)


def grey_png(path: Path, phases: Phases) -> None:
    Image.fromarray(phases).save(path)


def other_palette_png(path: Path, phases: Phases) -> None:
    image = Image.fromarray(phases)
    image.putpalette([150, 150, 150, 214, 64, 48, 38, 166, 91] + [0] * 759)
    image.save(path)


def qupath_labels(path: Path, phases: Phases) -> None:
    tifffile.imwrite(path, phases.astype(np.uint16), compression="zlib")


def napari_labels(path: Path, phases: Phases) -> None:
    tifffile.imwrite(path, phases.astype(np.uint32), compression="zlib")


def float_labels(path: Path, phases: Phases) -> None:
    tifffile.imwrite(path, phases.astype(np.float32), byteorder=">")


WRITERS: list[tuple[Callable[[Path, Phases], None], str]] = [
    (fiji_palette, ".tif"),
    (fiji_black, ".tif"),
    (fiji_rgb, ".tif"),
    (gimp_permuted, ".png"),
    (gimp_tiff_permuted, ".tif"),
    (gimp_rgba, ".png"),
    (erased_rgba, ".png"),
    (rgb_png, ".png"),
    (rgb_png, ".bmp"),
    (grey_png, ".png"),
    (grey_png, ".bmp"),
    (other_palette_png, ".png"),
    (qupath_labels, ".tif"),
    (napari_labels, ".tif"),
    (float_labels, ".tif"),
]


@pytest.mark.parametrize(
    ("write", "suffix"), WRITERS, ids=[f"{write.__name__}{end}" for write, end in WRITERS]
)
def test_a_mask_saved_elsewhere_keeps_its_phases(
    tmp_path: Path, phases: Phases, write: Callable[[Path, Phases], None], suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, phases)
    mask = open_mask(path)
    np.testing.assert_array_equal(mask.phases(), phases)
    np.testing.assert_array_equal(mask.read(slice(3, 40), slice(50, 99)), phases[3:40, 50:99])


def test_fiji_keeps_the_pixel_size(tmp_path: Path, phases: Phases) -> None:
    fiji_palette(tmp_path / "a.tif", phases)
    size = open_mask(tmp_path / "a.tif").pixel_size
    assert size is not None
    assert size.nm == pytest.approx(10)
    assert "ImageJ" in size.source


def test_an_editor_that_keeps_the_description_and_changes_the_colours(
    tmp_path: Path, phases: Phases
) -> None:
    write_mask(tmp_path / "a.tif", PhaseMask.from_array("a", phases, PixelSize(10, "test"), {}))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        description = tiff.pages[0].description.encode()
    index, table = _permuted(phases)
    full = np.zeros((3, 256), np.uint16)
    full[:, :4] = table.T.astype(np.uint16) * 257
    tifffile.imwrite(
        tmp_path / "b.tif",
        index,
        photometric="palette",
        colormap=full,
        description=description,
        metadata=None,
    )
    mask = open_mask(tmp_path / "b.tif")
    np.testing.assert_array_equal(mask.phases(), phases)
    assert mask.pixel_size == PixelSize(10, "test")


def test_gimp_keeps_the_pixel_size_of_what_it_saves_in_colours(
    tmp_path: Path, phases: Phases
) -> None:
    write_mask(tmp_path / "a.tif", PhaseMask.from_array("a", phases, PixelSize(10, "test"), {}))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        description = tiff.pages.first.description.encode()
    phases = phases.copy()
    phases[:9, :9] = Phase.SILT
    tifffile.imwrite(
        tmp_path / "a.tif",
        palette()[phases],
        photometric="rgb",
        description=description,
        metadata=None,
    )
    mask = open_mask(tmp_path / "a.tif")
    np.testing.assert_array_equal(mask.phases(), phases)
    assert mask.pixel_size is not None
    assert mask.pixel_size.nm == pytest.approx(10)


@pytest.mark.parametrize(
    ("value", "shown"), [(3, "it holds 3"), (254, "it holds 254"), (128, "it holds 128")]
)
def test_other_values_are_named(tmp_path: Path, phases: Phases, value: int, shown: str) -> None:
    phases[5, 5] = value
    grey_png(tmp_path / "a.png", phases)
    with pytest.raises(MudrockError, match=shown) as caught:
        open_mask(tmp_path / "a.png")
    assert "0 clay" in caught.value.hint
    assert "(220, 40, 40)" in caught.value.hint


@pytest.mark.parametrize("value", [-1, 256, 300.0, 0.5, 1e9, float("nan")])
def test_labels_outside_the_phases_are_named(tmp_path: Path, phases: Phases, value: float) -> None:
    labels = phases.astype(np.float64)
    labels[5, 5] = value
    tifffile.imwrite(tmp_path / "a.tif", labels)
    with pytest.raises(MudrockError, match=re.escape(f"it holds {value:g}")):
        open_mask(tmp_path / "a.tif")


def test_other_colours_are_named(tmp_path: Path, phases: Phases) -> None:
    colours = palette()[phases]
    colours[7, 7] = (219, 45, 44)
    Image.fromarray(colours).save(tmp_path / "a.png")
    with pytest.raises(MudrockError, match=r"\(219, 45, 44\)"):
        open_mask(tmp_path / "a.png")


def test_a_palette_of_unknown_colours_and_values_is_refused(tmp_path: Path, phases: Phases) -> None:
    image = Image.fromarray(phases % 3 + 7)
    image.putpalette([200, 10, 200] * 256)
    image.save(tmp_path / "a.png")
    with pytest.raises(MudrockError, match="no phase mask"):
        open_mask(tmp_path / "a.png")


def test_a_micrograph_is_no_mask(tmp_path: Path, noise: Phases) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise)
    with pytest.raises(MudrockError, match="no phase mask"):
        open_mask(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", np.stack([noise.astype(np.uint16)] * 3, -1))
    with pytest.raises(MudrockError, match="colours of uint16"):
        open_mask(tmp_path / "b.tif")
