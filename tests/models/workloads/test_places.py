"""Steps on random places: what is filled, cleared and refused."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models.kernel.errors import KernelRefusal
from models.workloads.base import Wait
from models.workloads.places import Places

NOBODY: Any = None


class Marks(Places[int]):
    """Fills places with numbers in ascending order, every third attempt is refused; needs no kernel."""

    def __init__(self, steps: int, slots: int) -> None:
        self.config = SimpleNamespace(steps=steps, slots=slots, rate=None)
        self.random = np.random.default_rng(5)
        self.progress: dict[str, int] = {}
        self.attempts = 0
        self.made: list[int] = []
        self.cleared: list[int] = []

    def run(self, thread: Any) -> Wait:
        yield from self.visit(thread, clear=False)

    def _fill(self, thread: Any) -> Wait:
        self.attempts += 1
        if self.attempts % 3 == 0:
            raise KernelRefusal(errno.ENOMEM, "no room")
        yield NOBODY
        self.made.append(self.attempts)
        return self.attempts

    def _clear(self, thread: Any, thing: int) -> Wait:
        self.cleared.append(thing)
        yield NOBODY


@pytest.mark.parametrize("clear", [False, True])
def test_every_step_fills_a_place_or_clears_it(clear: bool) -> None:
    marks = Marks(steps=200, slots=7)
    list(marks.visit(NOBODY, clear=clear))
    draws = np.random.default_rng(5)
    places: dict[int, int] = {}
    cleared, attempts = [], 0
    for _ in range(200):
        place = int(draws.integers(7))
        if place in places:
            cleared.append(places.pop(place))
            continue
        attempts += 1
        if attempts % 3:
            places[place] = attempts
    left = [places[place] for place in sorted(places)]
    assert left
    assert marks.cleared == cleared + (left if clear else [])
    assert marks.progress == {"refused_ENOMEM": attempts // 3}
    assert len(marks.made) == attempts - attempts // 3
