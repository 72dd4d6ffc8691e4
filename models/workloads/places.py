"""Steps on random places: what stands at a place goes, else something new comes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Generic, TypeVar

from models.kernel.errors import KernelRefusal
from models.workloads.base import Wait, Workload
from models.workloads.thread import Thread

__all__ = ["Places"]

Thing = TypeVar("Thing")


class Places(Workload, Generic[Thing]):
    """A workload whose configuration has ``steps`` and ``slots``: as many places, empty at first."""

    def visit(self, thread: Thread, *, clear: bool) -> Wait:
        """Take all steps.

        Args:
            thread: who takes them.
            clear: clear all places in the end.
        """
        config = self.config
        places: dict[int, Thing] = {}
        for step in range(config.steps):
            yield from self.paced(thread, step)
            place = int(self.random.integers(config.slots))
            if place in places:
                yield from self._clear(thread, places.pop(place))
                continue
            try:
                places[place] = yield from self._fill(thread)
            except KernelRefusal as refusal:
                self.count(f"refused_{refusal.name}")
        if clear:
            for place in sorted(places):
                yield from self._clear(thread, places[place])

    @abstractmethod
    def _fill(self, thread: Thread) -> Wait:
        """Make what a place shall hold, and return it.

        Raises:
            KernelRefusal: the place stays empty.
        """

    @abstractmethod
    def _clear(self, thread: Thread, thing: Any) -> Wait:
        """Give back what a place held."""
