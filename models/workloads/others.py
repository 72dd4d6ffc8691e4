"""Workload `others`: processes beside the experiment's, which take kernel memory in small amounts and give it back."""

from __future__ import annotations

from typing import Literal

from models.kernel.code_pages import give_area, take_area
from models.kernel.list_costs import forgive
from models.kernel.observe import observe
from models.kernel.snapshot_lists import let_others_take
from models.workloads.base import Positive, Wait, Workload, WorkloadConfig
from models.workloads.sizes import PageRange, draw
from models.workloads.thread import Thread

__all__ = ["Others", "OthersConfig"]


class OthersConfig(WorkloadConfig):
    """``steps`` steps, each on one of ``slots`` places: kernel pages there are given back, else some are taken.

    They change nothing in the direct map, but move which pages the allocator hands out next. They act on any CPU, and
    take no time there: whose turn it is does not depend on them.

    Attributes:
        pages: lowest and highest number of kernel pages taken at a time, one by one.
        before: whether they have taken some pages off every CPU's list before anything begins.
    """

    kind: Literal["others"] = "others"
    steps: Positive = 256
    slots: Positive = 32
    pages: PageRange = (1, 16)
    before: bool = False


class Others(Workload):
    """See `OthersConfig`."""

    Config = OthersConfig
    config: OthersConfig
    COUNTS = ("taken", "given_back", "refused_ENOMEM")

    def process(self) -> Wait:
        """Take what they took before, then live; they are no task of this kernel."""
        if self.config.before:
            let_others_take(self.system.kernel.store, self.random)
        yield self.system.env.timeout(self.config.start)
        yield from self.run(None)

    def run(self, thread: Thread | None) -> Wait:
        """Take and give back at random places; what is held in the end stays."""
        env, config = self.system.env, self.config
        places: dict[int, int] = {}
        for step in range(config.steps):
            if config.rate is not None:
                due_ns = config.start + round(step * 1e9 / config.rate)
                yield env.timeout(max(0, due_ns - env.now))
            cpu, place = int(self.random.integers(self.system.cpus.count)), int(self.random.integers(config.slots))
            if place in places:
                self._give(places.pop(place), cpu)
            elif (holder := self._take(cpu)) is not None:
                places[place] = holder

    def _take(self, cpu: int) -> int | None:
        kernel = self.system.kernel
        pages, holder = draw(self.random, self.config.pages), kernel.new_holder()
        got = take_area(kernel.handle, cpu, kernel.node_of[cpu], holder, pages, False)
        self._done()
        if not got:
            kernel.drop_holder(holder)
            self.count("refused_ENOMEM")
            return None
        self.count("taken", pages)
        return holder

    def _give(self, holder: int, cpu: int) -> None:
        kernel = self.system.kernel
        give_area(kernel.handle, cpu, holder)
        kernel.drop_holder(holder)
        self._done()
        self.count("given_back")

    def _done(self) -> None:
        """Nobody pays for this."""
        kernel = self.system.kernel
        forgive(kernel.state)
        observe(kernel.handle, self.system.env.now)
