from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mudrock_cli.image.mask import open_mask
from mudrock_cli.image.micrograph import open_micrograph
from mudrock_cli.image.types import Box

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not there")

VENDORS = {
    "fei_nova_134.896nm": ("FEI / Thermo Fisher", 134.896, 1024),
    "zeiss_5.86nm": ("Zeiss", 5.86, 699),
    "tescan_uint16": ("TESCAN", 4.537772, 1152),
    "hitachi_tm4000": ("Hitachi", 165.3646, 901),
}


@pytest.mark.parametrize("name", VENDORS)
def test_files_as_microscopes_write_them(name: str) -> None:
    vendor, nm, bottom = VENDORS[name]
    micrograph = open_micrograph(DATA / "vendor" / f"{name}.tif")
    assert micrograph.pixel_size is not None
    assert micrograph.pixel_size.nm == pytest.approx(nm)
    assert micrograph.pixel_size.source.startswith(vendor.split()[0])
    assert micrograph.instrument["vendor"] == vendor
    assert micrograph.specimen.bottom == bottom
    grey = micrograph.grey()
    window = (slice(50, 300), slice(700, 900))
    np.testing.assert_array_equal(micrograph.read(*window), grey[window])
    assert grey[: micrograph.specimen.bottom].std() > 20


@pytest.mark.parametrize("name", VENDORS)
@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_a_bar_is_found_without_metadata_too(tmp_path: Path, name: str, ending: str) -> None:
    grey = open_micrograph(DATA / "vendor" / f"{name}.tif").grey()
    Image.fromarray(grey).save(tmp_path / f"a{ending}")
    micrograph = open_micrograph(tmp_path / f"a{ending}")
    assert micrograph.pixel_size is None
    assert micrograph.specimen == Box(0, 0, VENDORS[name][2], grey.shape[1])


@pytest.mark.parametrize("number", [10, 11, 12, 15, 16, 17])
def test_kumano(number: int) -> None:
    micrograph = open_micrograph(DATA / "kumano" / "images" / f"kumano_{number}.tif")
    assert micrograph.pixel_size is not None
    assert micrograph.pixel_size.nm == pytest.approx(10)
    assert micrograph.specimen.shape == micrograph.shape
    for folder in ("labels", "authors"):
        mask = open_mask(DATA / "kumano" / folder / f"kumano_{number}.png")
        assert mask.shape == micrograph.shape
        assert set(np.unique(mask.phases())) <= {0, 1, 2, 255}


def test_images_without_a_bar_are_left_whole() -> None:
    for path in sorted((DATA / "duvernay" / "images").glob("*.png"))[:40]:
        micrograph = open_micrograph(path)
        assert micrograph.specimen.shape == micrograph.shape
