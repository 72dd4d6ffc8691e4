"""Workload `modules`: kernel modules loaded and unloaded [6.1 kernel/module/main.c]."""

from __future__ import annotations

from typing import Literal

from models.kernel.code import Area
from models.kernel.errors import KernelRefusal
from models.workloads.base import Positive, Wait, WorkloadConfig
from models.workloads.places import Places
from models.workloads.sizes import PageRange, draw
from models.workloads.thread import Thread

__all__ = ["Modules", "ModulesConfig"]


class ModulesConfig(WorkloadConfig):
    """``steps`` steps, each on one of ``slots`` places: a module there is unloaded, else one is loaded.

    Attributes:
        text_pages: code and read-only data of a module, lowest and highest.
        data_pages: writable data; it lies in the same area, so that unloading resets it too.
        init_pages: what is freed after the module's start: half of it code, read-only as well.
        collapse: protect by `set_memory_rox`, which asks for large pages where the kernel merges on request.
        unload_at_end: unload all modules in the end.
    """

    kind: Literal["modules"] = "modules"
    steps: Positive = 256
    slots: Positive = 128
    text_pages: PageRange = (2, 24)
    data_pages: PageRange = (1, 8)
    init_pages: PageRange = (1, 6)
    collapse: bool = True
    unload_at_end: bool = False


class Modules(Places[Area]):
    """See `ModulesConfig`."""

    Config = ModulesConfig
    config: ModulesConfig
    COUNTS = ("loaded", "unloaded", "pages", "refused_ENOMEM")

    def run(self, thread: Thread) -> Wait:
        """Load and unload modules at random places."""
        yield from self.visit(thread, clear=self.config.unload_at_end)

    def _fill(self, thread: Thread) -> Wait:
        """Allocate core and init, protect the read-only parts of both, start the module, free init; returns core."""
        text, data, init_pages = (
            draw(self.random, pages)
            for pages in (self.config.text_pages, self.config.data_pages, self.config.init_pages)
        )
        code, cpu = self.system.kernel.code, thread.cpu
        core = code.allocate(cpu, text + data)
        try:
            init = code.allocate(cpu, init_pages)
        except KernelRefusal:
            code.free(cpu, core)
            raise
        code.protect(cpu, core, text, collapse=self.config.collapse)
        code.protect(cpu, init, (init_pages + 1) // 2, collapse=self.config.collapse)
        yield from thread.spend()
        code.free(thread.cpu, init)
        self.count("loaded")
        self.count("pages", core.pages)
        yield from thread.spend()
        return core

    def _clear(self, thread: Thread, thing: Area) -> Wait:
        self.system.kernel.code.free(thread.cpu, thing)
        self.count("unloaded")
        yield from thread.spend()
