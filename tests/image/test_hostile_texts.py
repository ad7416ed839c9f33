"""Texts that tell a pixel size, cut or changed at every place; texts that are none."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hostile_seeds import FEI, HITACHI, JEOL, PHENOM, TESCAN, ZEISS
from hypothesis import given, settings
from hypothesis import strategies as st

from mudrock_cli.config import parse_toml, read_rows, read_text
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.pixel_size import (
    decode_text,
    parse_fei,
    parse_hitachi,
    parse_imagej,
    parse_jeol,
    parse_ome,
    parse_provenance,
    parse_tag_34683,
    parse_tescan,
    parse_tescan_header,
    parse_zeiss,
    stored_pixel_size,
    to_ome_xml,
)
from mudrock_cli.image.types import Facts, PixelSize

Parse = Callable[[bytes], Facts | None]
IMAGEJ = "ImageJ=1.53t\nunit=micron\nloop=false\n"
OME = to_ome_xml("a", (20, 30), PixelSize(7.25, "test"), {"method": "segment"})

# Text, what reads it, its pixel size in nm, and what spells that.
TOLD: dict[str, tuple[bytes, Parse, float, tuple[bytes, ...]]] = {
    "FEI": (FEI.format(section="Scan").encode(), parse_fei, 13.4896, (b"1.34896e-008",)),
    "Zeiss": (ZEISS.encode(), parse_zeiss, 5.86, (b"5.86 nm",)),
    "TESCAN": (b"\0" + TESCAN.encode(), parse_tescan, 4.537772, (b"4.537772e-009",)),
    "Phenom": (PHENOM.encode(), parse_tag_34683, 42.5, (b"42.5", b'"nm"')),
    "Hitachi": (
        HITACHI.encode(), lambda raw: parse_hitachi(decode_text(raw)), 165.3646,
        (b"165.3646",),
    ),
    "JEOL": (
        JEOL.encode(), lambda raw: parse_jeol(decode_text(raw)), 0.8, (b"125", b"100nm"),
    ),
    "TESCAN header": (
        TESCAN.encode(), lambda raw: parse_tescan_header(decode_text(raw), "x"), 4.537772,
        (b"4.537772e-009",),
    ),
    "ImageJ": (
        IMAGEJ.encode(), lambda raw: parse_imagej(raw, (80.0, 80.0)), 12.5, (b"micron",),
    ),
    "OME": (OME, parse_ome, 7.25, (b"0.00725", b"Unit=", b"\xc2\xb5m", b"&#181;m")),
}  # fmt: skip


def tells(parse: Parse, raw: bytes, nm: float) -> bool:
    """Return whether a text tells this size, or two that disagree, or none."""
    facts = parse(raw)
    if facts is None or facts.pixel is None or abs(facts.pixel[0] / facts.pixel[1] - 1) > 0.01:
        return True
    return facts.pixel[0] == pytest.approx(nm)


@pytest.mark.parametrize("name", TOLD)
def test_half_a_number_is_never_believed(name: str) -> None:
    raw, parse, nm, _ = TOLD[name]
    assert parse(raw) is not None
    wrong = [raw[:end] for end in range(len(raw)) if not tells(parse, raw[:end], nm)]
    # A cut between two lines leaves a text that could be an older Zeiss file.
    assert [text for text in wrong if name != "Zeiss" or not text.endswith((b"\r", b"\n"))] == []


@pytest.mark.parametrize("name", TOLD)
def test_no_changed_letter_beside_the_number_gives_another(name: str) -> None:
    raw, parse, nm, spelled = TOLD[name]
    spared = set()
    for part in spelled:
        at = raw.find(part)
        while at >= 0:
            spared |= set(range(at - 1, at + len(part) + 2))
            at = raw.find(part, at + 1)
    wrong = []
    for at in sorted(set(range(len(raw))) - spared):
        for byte in (0, 10, 32, 46, 61, 255, raw[at] ^ 1, raw[at] ^ 32):
            changed = raw[:at] + bytes([byte]) + raw[at + 1 :]
            if not tells(parse, changed, nm):
                wrong.append((at, changed))
    assert wrong == []


def test_zeiss_falls_back_only_where_the_stored_image_has_no_size() -> None:
    old = "AP_PIXEL_SIZE\r\nPixel Size = 11.72 nm\r\n"
    facts = parse_zeiss(old.encode())
    assert facts is not None
    assert facts.pixel == (11.72, 11.72)
    for damaged in (ZEISS.replace("5.86 nm", "5.8x6 nm"), ZEISS.replace("Image Pixel", "Imxge P")):
        assert parse_zeiss(damaged.encode()) is None


words = st.text("nm9µ. ", max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["pixel_size_nm", "pixel_size_source", "x"]), values))
def test_any_provenance_has_a_size_or_none(facts: dict[str, object]) -> None:
    size = stored_pixel_size(facts)
    assert size is None or (0 < size.nm < float("inf") and size.source)


@pytest.mark.parametrize("nm", [10**400, True, "7", -1, 0, float("nan"), [7], None])
def test_a_provenance_of_impossible_size(nm: object) -> None:
    assert stored_pixel_size({"pixel_size_nm": nm, "pixel_size_source": "x"}) is None


@pytest.mark.parametrize("value", ["[" * 100_000, "9" * 5000, "[1]", "null", '{"a":' * 50_000])
def test_a_provenance_that_is_none(value: str) -> None:
    text = json.dumps({"method": "segment", "pixel_size_nm": 7.25, "pixel_size_source": "test"})
    raw = OME.replace(json.dumps(json.loads(text), sort_keys=True).encode(), value.encode())
    assert raw != OME
    assert parse_provenance(raw, (20, 30)) is None


@settings(deadline=None)
@given(st.text("[]{}=.,\"'\n\r\0#a1-:TZ_éx", max_size=60))
def test_any_text_is_toml_or_refused(text: str) -> None:
    try:
        assert isinstance(parse_toml(text, "a.toml"), dict)
    except MudrockError as error:
        assert error.message.startswith("a.toml is not valid TOML")  # noqa: PT017


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=80) | st.text(alphabet='a,"\n\r\0;', max_size=60).map(str.encode))
def test_any_bytes_are_rows_or_refused(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(raw)
    try:
        for row in read_rows(path, "hint"):
            assert all(isinstance(cell, str) for cell in row.values())
    except MudrockError as error:
        assert str(path) in error.message  # noqa: PT017


def test_texts_within_reason(tmp_path: Path) -> None:
    large = tmp_path / "large.toml"
    large.write_bytes(b"#\n" * 3_000_000)
    with pytest.raises(MudrockError, match="6 MB are too many"):
        read_text(large)
    with pytest.raises(MudrockError, match="not a file"):
        read_text(tmp_path)
    field = tmp_path / "field.csv"
    field.write_text("name\n" + "a" * 200_000)
    with pytest.raises(MudrockError, match="field larger"):
        read_rows(field, "hint")


@pytest.mark.parametrize("codec", ["png", "jpeg2k", "jpegxl", "webp", "lerc", "jpeg8"])
@pytest.mark.parametrize("shape", [(60, 90), (64, 64), (257, 1000), (120, 160)])
def test_streams_tell_their_size(codec: str, shape: tuple[int, int]) -> None:
    import imagecodecs

    from mudrock_cli.image.tiff import count_stream_pixels

    grey = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    image = np.dstack([grey] * 3) if codec == "webp" else grey
    data = getattr(imagecodecs, f"{codec}_encode")(image)
    assert count_stream_pixels(data) == grey.size
    for end in range(64):
        assert count_stream_pixels(data[:end]) in (None, grey.size)
