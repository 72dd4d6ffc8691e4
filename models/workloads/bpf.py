"""Workload `bpf`: BPF programs that come and go, alone on their pages or in packs [kernel/bpf/core.c]."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from models.kernel.code import HUGE_PAGES, Area
from models.kernel.entities import Mapping
from models.kernel.errors import KernelRefusal
from models.workloads.base import Count, Positive, Wait, WorkloadConfig
from models.workloads.bpf_packs import CHUNK_BYTES, PACK_BYTES, Pack
from models.workloads.places import Places
from models.workloads.sizes import PageRange, draw
from models.workloads.thread import Thread

__all__ = ["Bpf", "BpfConfig"]

PAGE_BYTES = 4096


class BpfConfig(WorkloadConfig):
    """``steps`` steps, each on one of ``slots`` places: a program there is freed, else one is loaded.

    Attributes:
        packing: `single`: pages of its own for each program (before 5.18); `pack_4k`: programs share packs of 2 MiB
            that are made of single pages; `pack_2m`: packs of one 2M block each.
        size_bytes: of a program's machine code, lowest and highest.
        other_pages: writable pages that a program takes beside (its `bpf_prog`, its maps).
        collapse: protect by `set_memory_rox`, which asks for large pages where the kernel merges on request.
        ordinary: movable pages that the loading process touches before each program, freed with it.
        free_at_end: free all programs in the end.
    """

    kind: Literal["bpf"] = "bpf"
    steps: Positive = 1000
    slots: Positive = 256
    packing: Literal["single", "pack_4k", "pack_2m"] = "single"
    size_bytes: PageRange = (256, 4096)
    other_pages: Annotated[int, Field(ge=0)] = 1
    collapse: bool = True
    ordinary: Count = 0
    free_at_end: bool = False


class _Program(NamedTuple):
    code: Area | None  # None: in a pack
    pack: Pack | None
    start: int
    other: Area | None
    beside: Mapping | None


class Bpf(Places[_Program]):
    """See `BpfConfig`."""

    Config = BpfConfig
    config: BpfConfig
    COUNTS = ("loaded", "freed", "packs", "packs_freed", "refused_ENOMEM")

    def run(self, thread: Thread) -> Wait:
        """Load and free programs at random places."""
        self._packs: list[Pack] = []
        yield from self.visit(thread, clear=self.config.free_at_end)

    def _fill(self, thread: Thread) -> Wait:
        config, beside = self.config, None
        if config.ordinary:
            beside = self.system.kernel.map_ordinary(thread.task, config.ordinary)
            yield from thread.touch(config.ordinary, beside)
        try:
            program = self._load(thread.cpu, draw(self.random, config.size_bytes), beside)
        except KernelRefusal:
            yield from thread.spend()
            raise
        self.count("loaded")
        yield from thread.spend()
        return program

    def _load(self, cpu: int, size_bytes: int, beside: Mapping | None) -> _Program:
        kernel, config = self.system.kernel, self.config
        other = kernel.code.allocate(cpu, config.other_pages) if config.other_pages else None
        try:
            if config.packing == "single" or size_bytes > PACK_BYTES:
                pages = -(-size_bytes // PAGE_BYTES)
                area = kernel.code.allocate(cpu, pages)
                kernel.code.protect(cpu, area, area.blocks, collapse=config.collapse)
                return _Program(area, None, 0, other, beside)
            chunks = -(-size_bytes // CHUNK_BYTES)
            for pack in self._packs:
                start = pack.place(chunks)
                if start is not None:
                    return _Program(None, pack, start, other, beside)
            area = kernel.code.allocate(cpu, HUGE_PAGES, huge=config.packing == "pack_2m")
            kernel.code.protect(cpu, area, area.blocks, collapse=config.collapse)
        except KernelRefusal:
            if other is not None:
                kernel.code.free(cpu, other)
            raise
        pack = Pack(area)
        self._packs.append(pack)
        self.count("packs")
        start = pack.place(chunks)
        assert start is not None
        return _Program(None, pack, start, other, beside)

    def _clear(self, thread: Thread, thing: _Program) -> Wait:
        code, program = self.system.kernel.code, thing
        if program.pack is not None:
            program.pack.remove(program.start)
            if program.pack.empty:
                self._packs.remove(program.pack)
                code.free(thread.cpu, program.pack.area)
                self.count("packs_freed")
        elif program.code is not None:
            code.free(thread.cpu, program.code)
        if program.other is not None:
            code.free(thread.cpu, program.other)
        self.count("freed")
        yield from thread.spend()
        if program.beside is not None:
            yield from thread.unmap(program.beside)
