"""Workload `drivers`: arrays of scattered pages that drivers make write-combining [6.1 `set_pages_array_wc`]."""

from __future__ import annotations

import errno
from typing import Literal, NamedTuple

from models.kernel.attributes import change_chain
from models.kernel.code_pages import AREA, give_area, take_area
from models.kernel.direct_map import UNCACHED
from models.kernel.flush import flush_kernel
from models.workloads.base import Positive, Wait, WorkloadConfig
from models.workloads.places import Places
from models.workloads.sizes import PageRange, draw
from models.workloads.thread import Thread

__all__ = ["Drivers", "DriversConfig"]


class DriversConfig(WorkloadConfig):
    """``steps`` steps, each on one of ``slots`` places: a buffer there is freed, else one is made.

    A buffer's pages are taken one by one, their entries made WC or UC one at a time, and one flush ends the call;
    before they are freed they become write-back again, equal to their neighbours, but nobody merges them.

    Attributes:
        buffer_pages: lowest and highest length of a buffer.
        free_at_end: free all buffers in the end.
    """

    kind: Literal["drivers"] = "drivers"
    steps: Positive = 256
    slots: Positive = 64
    buffer_pages: PageRange = (16, 512)
    free_at_end: bool = False


class _Buffer(NamedTuple):
    holder: int
    pages: int


class Drivers(Places[_Buffer]):
    """See `DriversConfig`."""

    Config = DriversConfig
    config: DriversConfig
    COUNTS = ("buffers", "pages", "freed", "refused_ENOMEM")

    def run(self, thread: Thread) -> Wait:
        """Make and free buffers at random places."""
        yield from self.visit(thread, clear=self.config.free_at_end)

    def _fill(self, thread: Thread) -> Wait:
        pages = draw(self.random, self.config.buffer_pages)
        kernel, cpu = self.system.kernel, thread.cpu
        node, holder = kernel.node_of[cpu], kernel.new_holder()
        if not take_area(kernel.handle, cpu, node, holder, pages, False):
            kernel.drop_holder(holder)
            raise kernel.limits.refuse(errno.ENOMEM, f"no memory for a buffer of {pages} pages")
        change_chain(kernel.handle, cpu, node, holder, AREA, pages, UNCACHED, 0)
        flush_kernel(kernel.handle, True)
        self.count("buffers")
        self.count("pages", pages)
        yield from thread.spend()
        return _Buffer(holder, pages)

    def _clear(self, thread: Thread, thing: _Buffer) -> Wait:
        kernel, cpu = self.system.kernel, thread.cpu
        holder, pages = thing
        change_chain(kernel.handle, cpu, kernel.node_of[cpu], holder, AREA, pages, 0, UNCACHED)
        flush_kernel(kernel.handle, True)
        give_area(kernel.handle, cpu, holder)
        kernel.merging.changed(cpu)
        kernel.drop_holder(holder)
        self.count("freed")
        yield from thread.spend()
