"""A visit of a long LRU set kept as ages, against a list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest

from models.tlb.aged import MOST_WAYS, PART, aged_stride, empty_aged, visit_aged

FIRST = 8

# Keys whose products with the mixer differ in lower bits only, so that all have one mark.
ALIKE = np.arange(200, dtype=np.uint64) * np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))


def _compiled(parts: int) -> Callable[..., None]:
    compile_: Any = numba.njit

    @compile_
    def many(state, count, members, keys, missed, ways):  # type: ignore[no-untyped-def]
        visit_aged(state, FIRST, count, members, keys, missed, ways, parts)

    compiled: Callable[..., None] = many
    return compiled


def _missed(keys: list[int], ways: int) -> list[int]:
    used: list[int] = []
    missed = []
    for key in keys:
        missed.append(int(key not in used))
        used = [key, *(held for held in used if held != key)][:ways]
    return missed


@pytest.mark.parametrize("parts", range(1, MOST_WAYS // PART + 1))
@pytest.mark.parametrize("choices", ["spread", "alike"])
def test_ages_keep_the_order_of_use(parts: int, choices: str) -> None:
    """It hits and replaces as a list in order of use does, in two calls too, even when all keys have one mark; nothing
    beyond the set is written."""
    many = _compiled(parts)
    rng = np.random.default_rng(parts)
    for ways in {PART * (parts - 1) + 1, PART * parts - 5, PART * parts}:
        stride = aged_stride(ways)
        state = np.full(stride + 2 * FIRST, -1, np.int64)
        empty_aged(FIRST, ways, state)
        pool = ALIKE.view(np.int64) if choices == "alike" else rng.integers(0, 1 << 40, 200)
        keys: npt.NDArray[np.int64] = pool[rng.integers(0, min(2 * ways + 1, 200), 600)]
        members, missed = np.arange(600), np.full(600, 7, np.int64)
        many(state, 400, members, keys, missed, ways)
        many(state, 200, members[400:], keys, missed, ways)
        assert missed.tolist() == _missed(keys.tolist(), ways)
        assert 0 < missed.mean() < 1
        assert (state[:FIRST] == -1).all()
        assert (state[FIRST + stride :] == -1).all()
