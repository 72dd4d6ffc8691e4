"""Rows as tables: only scalars, and types that do not depend on who wrote which rows together."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from simcore.sweep.rows import as_scalar, concatenate, to_arrow


def test_only_scalars_enter_columns() -> None:
    assert as_scalar({"b": 1, "a": [2]}) == '{"a": [2], "b": 1}'
    assert as_scalar(1 << 70) == str(1 << 70)
    assert as_scalar(True) is True
    assert as_scalar(None) is None


values = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from(["x", "1"]))


@given(st.lists(values, min_size=1, max_size=8), st.data())
def test_types_do_not_depend_on_how_rows_were_grouped(column: list[Any], data: st.DataObject) -> None:
    """One part or many: the same rows give the same table, type by type."""
    cuts = sorted(data.draw(st.sets(st.integers(1, len(column)), max_size=3)))
    rows = [{"identity": f"{number}", "mixed": value} for number, value in enumerate(column)]
    bounds = [0, *cuts, len(rows)]
    parts = [rows[low:high] for low, high in itertools.pairwise(bounds) if low < high]
    whole = concatenate([to_arrow(rows)])
    split = concatenate([to_arrow(part) for part in parts])
    assert split["mixed"].to_pylist() == whole["mixed"].to_pylist()
    assert split.schema.field("mixed").type == whole.schema.field("mixed").type
