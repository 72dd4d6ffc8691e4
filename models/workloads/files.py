"""Workloads of one task: `one_file`, one large secret file, and `many_files`, many small ones."""

from __future__ import annotations

from typing import Literal

from models.kernel.entities import Mapping, SecretFile
from models.kernel.errors import KernelRefusal
from models.kernel.program_steps import SCRATCH
from models.workloads.base import Count, Positive, Wait, Workload, WorkloadConfig
from models.workloads.thread import Thread
from simcore.units import Nanoseconds

__all__ = ["ManyFiles", "ManyFilesConfig", "OneFile", "OneFileConfig"]


class OneFileConfig(WorkloadConfig):
    """One file of ``pages`` secret pages, touched in order, held, unmapped, closed; ``repeat`` times over."""

    kind: Literal["one_file"] = "one_file"
    pages: Positive = 1024
    hold: Nanoseconds = 0
    repeat: Positive = 1


class OneFile(Workload):
    """See `OneFileConfig`."""

    Config = OneFileConfig
    config: OneFileConfig

    def run(self, thread: Thread) -> Wait:
        """Fill, hold and close a file, again and again."""
        for round_ in range(self.config.repeat):
            yield from self.paced(thread, round_)
            file = yield from thread.open_secret(self.config.pages)
            yield from self.sample(thread, "created")
            mapping = yield from thread.map_secret(file, self.config.pages)
            yield from self.sample(thread, "mapped")
            yield from self._fill(thread, mapping)
            self.count("secret_pages", self.config.pages)
            self.filled(file)
            if self.config.hold:
                yield from self.hold(thread, self.config.hold)
            yield from thread.unmap(mapping)
            yield from self.sample(thread, "munmap")
            yield from thread.close(file)
            yield from self.sample(thread, "close")

    def _fill(self, thread: Thread, mapping: Mapping) -> Wait:
        """Touch the whole file, with a stop wherever the counters are to be read."""
        pages, done = self.config.pages, 0
        for stop in sorted({*(stop for stop in self.config.sample_at if 0 < stop < pages), pages}):
            yield from thread.touch_secret(mapping, stop - done)
            done = stop
            yield from self.sample(thread, "fault", done)


class ManyFilesConfig(WorkloadConfig):
    """``files`` secret files of ``pages`` pages each, all open at once; then unmapped, then closed.

    Attributes:
        keep_mapped: False: each file is unmapped once touched and stays open, which gives the budget back under
            `per_mm`.
        reserve: pages of address space that are reserved first; the files are mapped there side by side, and unmapped
            in one go. 0: each file is mapped by itself.
    """

    kind: Literal["many_files"] = "many_files"
    files: Positive = 256
    pages: Positive = 1
    hold: Nanoseconds = 0
    keep_mapped: bool = True
    reserve: Count = 0


class ManyFiles(Workload):
    """See `ManyFilesConfig`."""

    Config = ManyFilesConfig
    config: ManyFilesConfig

    def run(self, thread: Thread) -> Wait:
        """Open, map and touch files until all are there or the kernel refuses; then let go of them."""
        opened: list[tuple[SecretFile, Mapping | None]] = []
        area = None
        if self.config.reserve:
            area = self.system.kernel.reserve(thread.task, self.config.reserve, thread.cpu)
        if self._sample_at:
            self.system.kernel.run("workload_start_many_files", SCRATCH, thread.cpu)
        yield from self.look_into_proc(thread)
        yield from self.sample(thread, "ready")
        try:
            for number in range(self.config.files):
                yield from self.paced(thread, number)
                file = yield from thread.open_secret(self.config.pages)
                mapping = yield from thread.map_secret(file, self.config.pages, area)
                opened.append((file, mapping))
                yield from thread.touch_secret(mapping, self.config.pages)
                self.filled(file)
                self.count("files")
                self.count("secret_pages", self.config.pages)
                if not self.config.keep_mapped and area is None:
                    yield from thread.unmap(mapping)
                    opened[-1] = (file, None)
                yield from self.sample(thread, "memfd", number + 1)
        except KernelRefusal as refusal:
            self.count(f"refused_{refusal.name}")
        if self.config.hold:
            yield from self.hold(thread, self.config.hold)
        if area is not None:
            yield from thread.unmap(area)
        else:
            for _, mapped in opened:
                if mapped is not None:
                    yield from thread.unmap(mapped)
        yield from self.sample(thread, "munmap")
        for closed, (file, _) in enumerate(opened):
            if closed == len(opened) // 2:
                yield from self.sample(thread, "halfclose")
            yield from thread.close(file)
        yield from self.sample(thread, "close")
