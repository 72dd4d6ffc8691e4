"""A visit of one LRU set kept in vector lanes, against a list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from models.tlb.lanes import LANES, visit_one_row, visit_row

FIRST = 8


def _compiled(lanes: int) -> tuple[Callable[..., int], Callable[..., None]]:
    compile_: Any = numba.njit

    @compile_
    def one(state, key, ways):  # type: ignore[no-untyped-def]
        return visit_row(state, FIRST, key, ways, lanes)

    @compile_
    def many(state, count, members, keys, missed, ways):  # type: ignore[no-untyped-def]
        visit_one_row(state, FIRST, count, members, keys, missed, ways, lanes)

    return one, many


@pytest.mark.parametrize("lanes", LANES)
def test_lanes_keep_the_order_of_use(lanes: int) -> None:
    """Both forms hit, renew the order and replace the last way as a list in order of use does; nothing else moves."""
    one, many = _compiled(lanes)
    rng = np.random.default_rng(lanes)
    for ways in {1, lanes // 2 + 1, lanes}:
        by_one, by_many = np.full((2, lanes + 2 * FIRST), -1, np.int64)
        used: list[int] = []
        keys = rng.integers(0, 2 * ways + 1, 400)
        expected = []
        for key in keys.tolist():
            expected.append(int(key not in used))
            used = [key, *(held for held in used if held != key)][:ways]
        members = np.arange(400)
        missed = np.full(400, 7, np.int64)
        many(by_many, 300, members, keys, missed, ways)
        many(by_many, 100, members[300:], keys, missed, ways)
        assert [one(by_one, key, ways) for key in keys.tolist()] == expected
        assert missed.tolist() == expected
        for state in (by_one, by_many):
            assert state[FIRST : FIRST + len(used)].tolist() == used
            assert (state[:FIRST] == -1).all()
            assert (state[FIRST + lanes :] == -1).all()
