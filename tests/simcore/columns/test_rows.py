"""Decimation: which rows are kept depends on the changes, never on how they were delivered."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simcore.columns.change_sequences import Change, changes, contents, filled


def effective(rows: Sequence[Change]) -> list[Change]:
    """The changes that change anything."""
    kept: list[Change] = []
    for row in rows:
        if not kept or row[1] != kept[-1][1]:
            kept.append(row)
    return kept


def expected_rows(rows: Sequence[Change], cap: int) -> tuple[int, list[tuple[Any, ...]]]:
    """Decimation as documented, from all changes at once: the smallest shift whose buckets fit."""
    kept = effective(rows)
    shift = 0
    while len({time >> shift for time, _ in kept}) > cap:
        shift += 1
    table = []
    for _, group in groupby(kept, key=lambda row: row[0] >> shift):
        bucket = list(group)
        columns = list(zip(*(values for _, values in bucket), strict=True))
        table.append((bucket[-1][0], *bucket[-1][1], *map(min, columns), *map(max, columns)))
    return shift, table


@settings(max_examples=200, deadline=None)
@given(changes(), st.integers(2, 9), st.lists(st.integers(0, 7), max_size=5))
def test_rows_are_those_of_the_documented_rule_however_delivered(
    rows: list[Change], cap: int, chunks: list[int]
) -> None:
    store = filled(rows, cap, chunks)
    shift, table = expected_rows(rows, cap)
    assert (store.shift, contents(store)) == (shift, table)
