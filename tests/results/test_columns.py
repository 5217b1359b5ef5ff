"""Columns of a trace that are built without pyarrow's conversion of lists."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.results.columns import table_of
from harness.results.schema import SCHEMAS


def values_of(kind: pa.DataType) -> st.SearchStrategy[object]:
    """Any value of a column, or none."""
    if pa.types.is_list(kind):
        return st.none() | st.lists(values_of(kind.value_type), max_size=3)
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        return st.none() | st.sampled_from(["", "weight", "Gewicht ä", "0"])
    if pa.types.is_boolean(kind):
        return st.none() | st.booleans()
    if pa.types.is_floating(kind):
        return st.none() | st.floats(width=kind.bit_width, allow_nan=False)
    unsigned = pa.types.is_unsigned_integer(kind)
    bits = kind.bit_width
    least, greatest = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return st.none() | st.integers(least, greatest)


@pytest.mark.parametrize("trace", sorted(SCHEMAS))
@settings(max_examples=25)
@given(data=st.data())
def test_a_column_is_what_pyarrow_makes_of_the_list(trace: str, data: st.DataObject) -> None:
    """For every type of every trace, with missing values, at any length from none on."""
    schema = SCHEMAS[trace]
    count = data.draw(st.integers(0, 9))
    rows = {f.name: [data.draw(values_of(f.type)) for _ in range(count)] for f in schema}
    made = table_of(rows, schema)
    made.validate(full=True)
    expected = pa.Table.from_pydict(rows, schema=schema)
    assert expected.to_pydict() == made.to_pydict()
    assert expected.schema.equals(made.schema)
    assert [c.null_count for c in expected.columns] == [c.null_count for c in made.columns]


@pytest.mark.parametrize(("make", "imported"), [("table_of", "False"), ("pa.table", "True")])
def test_pandas_is_not_imported(make: str, imported: str) -> None:
    """In a process of its own; pyarrow's own conversion, for control, imports it."""
    code = (
        "import sys; import pyarrow as pa; from harness.results.columns import table_of; "
        "from harness.results.schema import SCHEMAS; "
        f"{make}({{'step': [1], 'loss': [None]}}, SCHEMAS['logged']); "
        "print('pandas' in sys.modules)"
    )
    if make == "pa.table":
        code = code.replace("SCHEMAS['logged'])", "schema=SCHEMAS['logged'])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"{imported}\n" == done.stdout
