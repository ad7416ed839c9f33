import numpy as np
import pytest

from mudrock_cli.errors import UsageError
from mudrock_cli.image.labels import (
    drop_partial,
    encode_set,
    find_partial,
    find_told,
    list_allowed,
    parse_values,
    settle_partial,
)
from mudrock_cli.image.mask import NO_PHASE
from mudrock_cli.image.types import Phase

CLAY, SILT, PORE, VOID = Phase.CLAY, Phase.SILT, Phase.PORE, Phase.VOID


def test_every_set_of_phases_has_a_label_of_its_own() -> None:
    sets = [(CLAY,), (SILT,), (PORE,), (CLAY, SILT), (CLAY, PORE), (SILT, PORE)]
    codes = [encode_set(phases) for phases in sets]
    assert codes[:3] == [0, 1, 2]
    assert len({*codes, int(VOID), NO_PHASE}) == 8
    assert encode_set((CLAY, SILT, PORE)) == VOID
    allowed = list_allowed()
    for phases, code in zip(sets, codes, strict=True):
        assert set(np.flatnonzero(allowed[code])) == set(phases)
    assert allowed.any(axis=1).sum() == 6
    labels = np.array([[*codes, VOID]], np.uint8)
    assert find_partial(labels).tolist() == [[False] * 3 + [True] * 3 + [False]]
    assert drop_partial(labels).tolist() == [[0, 1, 2, 255, 255, 255, 255]]


def test_values_of_binary_masks_are_read() -> None:
    table = parse_values("0 = clay+silt, 255=pore")
    assert table[0] == encode_set((CLAY, SILT))
    assert table[255] == PORE
    assert (table[1:255] == NO_PHASE).all()
    assert parse_values("1=silt,2=pore+clay,0=void")[[0, 1, 2, 255]].tolist() == [
        VOID,
        SILT,
        encode_set((CLAY, PORE)),
        VOID,
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("pore", "'pore' is no value of 0 to 255"),
        ("256=pore,0=clay", "'256' is no value"),
        ("0=clay,0=pore", "0 stands there twice"),
        ("0=clay,1=quartz", "'quartz' is none of clay, silt, pore, void"),
        ("0=clay", "tells no two things apart"),
        ("0=clay+silt+pore,1=pore", "tells no two things apart"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parse_values(text)


def test_a_mask_is_judged_by_what_labels_tell() -> None:
    solid, dark = encode_set((CLAY, SILT)), encode_set((CLAY, PORE))
    labels = np.array([[solid, solid, solid, PORE, VOID, dark]], np.uint8)
    phases = np.array([[CLAY, SILT, PORE, SILT, PORE, VOID]], np.uint8)
    assert settle_partial(labels, phases).tolist() == [[CLAY, SILT, CLAY, PORE, VOID, CLAY]]
    assert find_told(labels[:, :5]).tolist() == [False, False, True]
    assert find_told(labels).tolist() == [False, False, False]
    assert find_told(phases).tolist() == [True, True, True]
