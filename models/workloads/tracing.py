"""Workload `tracing`: trampolines of ftrace and instruction slots of kprobes, attached and detached [6.1]."""

from __future__ import annotations

from typing import Final, Literal

from models.kernel.code import Area
from models.kernel.errors import KernelRefusal
from models.workloads.base import Count, Positive, Wait, Workload, WorkloadConfig
from models.workloads.thread import Thread

__all__ = ["Tracing", "TracingConfig"]

SLOTS_PER_PAGE: Final = 256
"""Instruction slots of kprobes in a page: 16 bytes each on x86 [`slots_per_page`]."""


class TracingConfig(WorkloadConfig):
    """``sessions`` tracers, each with its trampoline and ``probes`` probes; at most ``concurrent`` are attached.

    A trampoline is one page, read-only and executable; probes share pages of 256 slots, which are freed when empty.

    Attributes:
        collapse: protect by `set_memory_rox`, which asks for large pages where the kernel merges on request.
        detach_at_end: detach all tracers in the end.
    """

    kind: Literal["tracing"] = "tracing"
    sessions: Positive = 64
    concurrent: Positive = 4
    probes: Count = 32
    collapse: bool = True
    detach_at_end: bool = True


class Tracing(Workload):
    """See `TracingConfig`."""

    Config = TracingConfig
    config: TracingConfig
    COUNTS = ("attached", "detached", "refused_ENOMEM")

    def run(self, thread: Thread) -> Wait:
        """Attach tracers, the oldest giving way, and detach."""
        config = self.config
        self._slots: dict[Area, int] = {}  # slots in use
        attached: list[tuple[Area, list[Area]]] = []
        for number in range(config.sessions):
            yield from self.paced(thread, number)
            if len(attached) == config.concurrent:
                yield from self._detach(thread, *attached.pop(0))
            try:
                attached.append(self._attach(thread.cpu))
                self.count("attached")
            except KernelRefusal as refusal:
                self.count(f"refused_{refusal.name}")
            yield from thread.spend()
        if config.detach_at_end:
            for session in attached:
                yield from self._detach(thread, *session)

    def _page(self, cpu: int) -> Area:
        """A page of code, protected."""
        code = self.system.kernel.code
        area = code.allocate(cpu, 1)
        code.protect(cpu, area, 1, collapse=self.config.collapse)
        return area

    def _attach(self, cpu: int) -> tuple[Area, list[Area]]:
        trampoline = self._page(cpu)
        probes: list[Area] = []
        for _ in range(self.config.probes):
            page = next((page for page, used in self._slots.items() if used < SLOTS_PER_PAGE), None)
            if page is None:
                page = self._page(cpu)
                self._slots[page] = 0
            self._slots[page] += 1
            probes.append(page)
        return trampoline, probes

    def _detach(self, thread: Thread, trampoline: Area, probes: list[Area]) -> Wait:
        code = self.system.kernel.code
        code.free(thread.cpu, trampoline)
        for page in probes:
            self._slots[page] -= 1
            if not self._slots[page]:
                del self._slots[page]
                code.free(thread.cpu, page)
        self.count("detached")
        yield from thread.spend()
