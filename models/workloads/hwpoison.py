"""Workload `hwpoison`: pages of memory that go bad, anywhere in memory."""

from __future__ import annotations

from typing import Final, Literal

from models.kernel.hwpoison import IGNORED, TAKEN_FREE, TAKEN_USED, poison_page
from models.workloads.base import Positive, Wait, Workload, WorkloadConfig
from models.workloads.thread import Thread

__all__ = ["Hwpoison", "HwpoisonConfig"]

_NAMES: Final = {IGNORED: "ignored", TAKEN_FREE: "free", TAKEN_USED: "used"}


class HwpoisonConfig(WorkloadConfig):
    """``pages`` uncorrectable errors, each in a page that is as likely as any other; see ``models.kernel.hwpoison``."""

    kind: Literal["hwpoison"] = "hwpoison"
    pages: Positive = 8


class Hwpoison(Workload):
    """See `HwpoisonConfig`."""

    Config = HwpoisonConfig
    config: HwpoisonConfig
    COUNTS = ("free", "used", "ignored")

    def run(self, thread: Thread) -> Wait:
        """Let pages go bad, one by one."""
        kernel = self.system.kernel
        tiles = [(tile[0], tile[1]) for tile in kernel.state.direct_map.tiles]
        mapped = sum(pages for _, pages in tiles)
        for number in range(self.config.pages):
            yield from self.paced(thread, number)
            nth, pfn = int(self.random.integers(mapped)), 0
            for start, pages in tiles:
                if nth < pages:
                    pfn = start + nth
                    break
                nth -= pages
            result = poison_page(kernel.handle, thread.cpu, kernel.node_of[thread.cpu], pfn)
            self.count(_NAMES[result])
            yield from thread.spend()
