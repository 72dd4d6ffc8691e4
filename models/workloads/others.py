"""Workload `others`: processes beside the experiment's, which take kernel memory in small amounts and give it back."""

from __future__ import annotations

import errno
from typing import Literal

from models.kernel.code_pages import give_area, take_area
from models.kernel.snapshot_lists import let_others_take
from models.workloads.base import Positive, Wait, WorkloadConfig
from models.workloads.places import Places
from models.workloads.sizes import PageRange, draw
from models.workloads.thread import Thread

__all__ = ["Others", "OthersConfig"]


class OthersConfig(WorkloadConfig):
    """``steps`` steps, each on one of ``slots`` places: kernel pages there are given back, else some are taken.

    They change nothing in the direct map, but move which pages the allocator hands out next.

    Attributes:
        pages: lowest and highest number of kernel pages taken at a time, one by one.
        before: whether they have taken some pages off every CPU's list before anything begins.
    """

    kind: Literal["others"] = "others"
    steps: Positive = 256
    slots: Positive = 32
    pages: PageRange = (1, 16)
    before: bool = False


class Others(Places[int]):
    """See `OthersConfig`."""

    Config = OthersConfig
    config: OthersConfig
    COUNTS = ("taken", "given_back", "refused_ENOMEM")

    def process(self) -> Wait:
        """Take what they took before, then live."""
        if self.config.before:
            let_others_take(self.system.kernel.store, self.random)
        yield from super().process()

    def run(self, thread: Thread) -> Wait:
        """Take and give back at random places; what is held in the end stays."""
        yield from self.visit(thread, clear=False)

    def _fill(self, thread: Thread) -> Wait:
        kernel, cpu = self.system.kernel, thread.cpu
        pages, holder = draw(self.random, self.config.pages), kernel.new_holder()
        if not take_area(kernel.handle, cpu, kernel.node_of[cpu], holder, pages, False):
            kernel.drop_holder(holder)
            raise kernel.limits.refuse(errno.ENOMEM, f"no memory for {pages} kernel pages")
        self.count("taken", pages)
        yield from thread.spend()
        return holder

    def _clear(self, thread: Thread, thing: int) -> Wait:
        kernel = self.system.kernel
        give_area(kernel.handle, thread.cpu, thing)
        kernel.drop_holder(thing)
        self.count("given_back")
        yield from thread.spend()
