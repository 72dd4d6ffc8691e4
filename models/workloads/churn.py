"""Workload `churn`: files of random size and lifetime, a fixed number of places for them."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Literal

from models.kernel.entities import Mapping, SecretFile
from models.kernel.program_steps import SCRATCH
from models.workloads.base import Count, Positive, Wait, Workload, WorkloadConfig
from models.workloads.thread import Thread

__all__ = ["Churn", "ChurnConfig"]


class ChurnConfig(WorkloadConfig):
    """``steps`` steps, each on one of ``slots`` places: a file there is closed, else one of 1 to ``max_pages`` opened.

    Attributes:
        max_ordinary: with a file come 1 to this many ordinary pages; 0: none.
        sequence: where a 64-bit linear congruential generator starts that is drawn from instead of the workload's
            stream; None: the stream.
        operations: what is done instead of drawing: (place, pages), negative when the file there is closed.
    """

    kind: Literal["churn"] = "churn"
    steps: Positive = 1000
    slots: Positive = 256
    max_pages: Positive = 32
    max_ordinary: Count = 0
    sequence: Count | None = None
    operations: tuple[tuple[Count, int], ...] | None = None


class Churn(Workload):
    """See `ChurnConfig`."""

    Config = ChurnConfig
    config: ChurnConfig

    def run(self, thread: Thread) -> Wait:
        """Open and close files at random; in the end close all."""
        places: dict[int, tuple[SecretFile, Mapping, Mapping | None]] = {}
        if self._sample_at:
            self.system.kernel.run("workload_start_churn", SCRATCH, thread.cpu)
        yield from self.sample(thread, "ready")
        for step, (place, pages, ordinary) in enumerate(self._steps(places)):
            yield from self.paced(thread, step)
            if place in places:
                yield from self._let_go(thread, *places.pop(place))
            else:
                places[place] = yield from self._open(thread, pages, ordinary)
                self.count("files")
                self.count("secret_pages", pages)
            yield from self.sample(thread, "churn", step + 1)
        for place in sorted(places):
            yield from self._let_go(thread, *places[place])
        yield from self.sample(thread, "allfree")

    def _steps(self, places: Container[int]) -> Iterator[tuple[int, int, int]]:
        """Place, secret and ordinary pages of every step; pages count only where the place is empty."""
        config = self.config
        if config.operations is not None:
            for place, pages in config.operations:
                yield place, pages, 0
            return
        draw = self._stream() if config.sequence is None else _congruential(config.sequence)
        for _ in range(config.steps):
            place = next(draw) % config.slots
            if place in places:
                yield place, 0, 0
                continue
            pages = 1 + next(draw) % config.max_pages
            yield place, pages, 1 + next(draw) % config.max_ordinary if config.max_ordinary else 0

    def _stream(self) -> Iterator[int]:
        while True:
            yield from self.random.integers(1 << 62, size=1024).tolist()

    def _open(self, thread: Thread, pages: int, ordinary: int) -> Wait:
        file = yield from thread.open_secret(pages)
        mapping = yield from thread.map_secret(file, pages)
        yield from self.touch_secret(thread, mapping, pages)
        self.filled(file)
        beside = None
        if ordinary:
            beside = self.system.kernel.map_ordinary(thread.task, ordinary, thread.cpu)
            yield from thread.touch(ordinary, beside)
        return file, mapping, beside

    def _let_go(self, thread: Thread, file: SecretFile, mapping: Mapping, beside: Mapping | None) -> Wait:
        yield from thread.unmap(mapping)
        yield from thread.close(file)
        if beside is not None:
            yield from thread.unmap(beside)


def _congruential(state: int) -> Iterator[int]:
    """Numbers of a 64-bit linear congruential generator (Knuth's MMIX), its upper bits."""
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        yield state >> 33
