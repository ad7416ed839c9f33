"""Arrow columns built from buffers are what pyarrow itself would build."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mudrock_cli.measure.schema import TYPES, pack_numbers, pack_values, pack_words

PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "str": st.text(st.characters(codec="utf-8"), max_size=5),
    "category": st.sampled_from(["silt", "pore", "µ"]),
    "bool": st.booleans(),
    "int": st.integers(-(2**63), 2**63 - 1),
    "uint": st.integers(0, 2**32 - 1),
    "float": st.floats(allow_nan=False),
}
PLAIN["floats"] = st.lists(st.none() | PLAIN["float"], max_size=4)
PLAIN["strs"] = st.lists(PLAIN["str"], max_size=4)


@pytest.mark.parametrize("kind", list(TYPES))
def test_values_come_back(kind: str) -> None:
    @given(st.lists(st.none() | PLAIN[kind], max_size=20))
    def check(values: list[Any]) -> None:
        array = pack_values(values, kind)
        array.validate(full=True)
        assert array.type == TYPES[kind]
        assert array.to_pylist() == values

    check()


def test_nan_is_null() -> None:
    values = np.array([1.5, np.nan, -0.0])
    array = pack_numbers(values, "float")
    assert array.to_pylist() == [1.5, None, 0.0]
    assert pack_values([np.array([1.0, np.nan])], "floats").to_pylist() == [[1.0, None]]


def test_words_by_number() -> None:
    array = pack_words(np.array([1, 0, -1]), ("a", "b"), np.array([True, True, False]))
    array.validate(full=True)
    assert array.to_pylist() == ["b", "a", None]


def test_pandas_is_not_imported() -> None:
    code = (
        "import sys, numpy as np\n"
        "from mudrock_cli.measure import schema\n"
        "array = schema.pack_words(np.arange(2), ('a', 'b'))\n"
        "schema.pack_numbers([1.0], 'float'), schema.pack_values([['a']], 'strs')\n"
        "assert 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)
