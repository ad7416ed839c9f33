import math

import pytest

from mudrock_cli.report.tables import (
    MISSING,
    format_estimate,
    format_number,
    gather_warnings,
    list_words,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.033851, "0.0339"),
        (1234.5, "1,234"),
        (0, "0"),
        (None, MISSING),
        (math.nan, MISSING),
        (9.999, "10.00"),
        (-0.642, "−0.642"),
    ],
)
def test_three_digits(value: float | None, text: str) -> None:
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("limits", "texts"),
    [
        ((0.10156, 0.08348, 0.11276), ("10.2", "8.3 to 11.3")),
        ((0.10156, 0.1011, 0.1021), ("10.156", "10.110 to 10.210")),
        ((0.5, 0.2, 0.9), ("50", "20 to 90")),
        ((0.0, 0.0, 0.0), ("0", "")),
        ((0.012, -0.02, 0.04), ("1.2", "−2.0 to 4.0")),
        ((0.25, None, None), ("25.0", "")),
        ((None, None, None), (MISSING, "")),
    ],
)
def test_digits_follow_the_interval(
    limits: tuple[float | None, ...], texts: tuple[str, str]
) -> None:
    assert format_estimate(*limits, scale=100) == texts


def test_enumerations() -> None:
    assert list_words(["a"]) == "a"
    assert list_words(["a", "b", "c"]) == "a, b and c"
    assert list_words(list("abcdef")) == "a, b, c and 3 more"


def test_a_warning_is_said_once() -> None:
    images = [
        {"image": "a", "warnings": ["coarse", "small"]},
        {"image": "b", "warnings": ["small"]},
        {"image": "c", "warnings": None},
    ]
    assert gather_warnings(images) == [("a and b", "small"), ("a", "coarse")]
    assert gather_warnings(images[:2])[0] == ("all 2 images", "small")
