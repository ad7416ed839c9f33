import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mudrock_cli.image.pixel_size import (
    decode_text,
    parse_entries,
    parse_hitachi,
    parse_imagej,
    parse_jeol,
    parse_number,
    parse_ome,
    parse_provenance,
    parse_size,
    parse_tescan_header,
    read_comment,
    read_vendor_tags,
    to_ome_xml,
)
from mudrock_cli.image.types import Facts, PixelSize

CODES = (34680, 34682, 34118, 50431, 34683)
WORDS = st.sampled_from(
    [b"PixelSizeX=", b"PixelWidth=", b"[Scan]\n", b"Image Pixel Size = ", b"[SemImageFile]\n",
     b"PixelSize=", b"$$SM_MICRON_BAR ", b"$$SM_MICRON_MARKER ", b"ImageJ=1\nunit=", b"<OME>",
     b"<pixelWidth unit='nm'>", b"1e-9", b"5 nm", b"\n", b"\0", b"mudrock/provenance"]
)  # fmt: skip
hostile = st.lists(WORDS | st.binary(max_size=12), max_size=25).map(b"".join)


def parse_everything(raw: bytes) -> list[Facts | None]:
    text = decode_text(raw)
    facts: list[Facts | None] = []
    for code in CODES:
        facts += read_vendor_tags({code: raw})
    facts += read_comment({40092: raw})
    facts += [parse_hitachi(text), parse_jeol(text), parse_tescan_header(text, "x")]
    facts += [parse_ome(raw), parse_imagej(raw, (3.0, 3.0))]
    parse_provenance(raw, (20, 20))
    return facts


@given(hostile)
def test_any_bytes_are_facts_or_nothing(raw: bytes) -> None:
    for facts in parse_everything(raw):
        if facts is not None and facts.pixel is not None:
            assert min(facts.pixel) > 0
            assert max(facts.pixel) < float("inf")


@pytest.mark.parametrize("unit", [b" ", b"\n", b"=", b"1", b"[", b"<a>", b"$", b"a = 1\n", b"\0"])
@pytest.mark.parametrize("start", [b"", b"[Scan]\nPixelWidth=", b"PixelSizeX=", b"$A "])
def test_no_text_keeps_a_parser_busy(start: bytes, unit: bytes) -> None:
    began = time.process_time()
    parse_everything(start + unit * (200_000 // len(unit)))
    assert time.process_time() - began < 5


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@given(text=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=6))
def test_text_comes_back_from_every_encoding(encoding: str, text: str) -> None:
    assert decode_text(text.encode(encoding)) == text


@given(st.floats(1e-300, 1e300))
def test_numbers_come_back(number: float) -> None:
    assert parse_number(repr(number)) == number
    assert parse_number(repr(number).replace(".", ",")) == number


def test_sizes_are_width_first() -> None:
    assert (
        parse_size("1280x960") == parse_size("1280 * 960") == parse_size("1280 960") == (960, 1280)
    )
    assert parse_size("0x5") is parse_size("12") is parse_size(None) is None


def test_the_first_entry_counts_and_sections_are_kept() -> None:
    entries = parse_entries("a=0\n[One]\na = 1\n[Two]\na=2=3\n")
    assert entries["a"] == "0"
    assert entries["One/a"] == "1"
    assert entries["Two/a"] == "2=3"


@given(st.text(max_size=30), st.text(max_size=30))
def test_names_and_values_of_any_letters_come_back(name: str, value: str) -> None:
    xml = to_ome_xml(name, (20, 30), PixelSize(3, "test"), {"key": value})
    told = parse_provenance(xml, (20, 30))
    assert told is not None
    assert told["key"] == value
    assert parse_provenance(xml, (30, 20)) is None
