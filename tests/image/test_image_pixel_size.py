import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.types import PixelSize

UNITS = {"pm": 1e-3, "Å": 0.1, "nm": 1.0, "um": 1e3, "µm": 1e3, "μm": 1e3, "mm": 1e6, "m": 1e9}


@given(
    st.floats(1e-6, 1e6, allow_subnormal=False),
    st.sampled_from(sorted(UNITS)),
    st.sampled_from(["", " "]),
)
def test_a_written_length_comes_back(number: float, unit: str, gap: str) -> None:
    size = PixelSize.parse(f"{number!r}{gap}{unit}", "test")
    assert size.nm == pytest.approx(number * UNITS[unit], rel=1e-12)
    assert size.source == "test"


@pytest.mark.parametrize(
    "text", ["", "10", "nm", "ten nm", "0 nm", "-5nm", "10 furlong", "1e999nm"]
)
def test_what_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(MudrockError):
        PixelSize.parse(text, "--pixel-size")


@given(st.text(max_size=30))
def test_any_text_is_a_length_or_refused(text: str) -> None:
    with contextlib.suppress(MudrockError):
        assert PixelSize.parse(text, "test").nm > 0
