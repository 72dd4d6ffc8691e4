"""Workload `spread`: the adversary that puts unmovable filler between its secret pages, then frees the filler."""

from __future__ import annotations

from typing import Literal

from models.kernel.entities import Mapping, SecretFile
from models.workloads.base import Count, Positive, Wait, Workload, WorkloadConfig
from models.workloads.thread import Thread
from simcore.units import Nanoseconds

__all__ = ["Spread", "SpreadConfig"]

_PTE_PAGES = 512
_PMD_PAGES = 512 * _PTE_PAGES
_PUD_PAGES = 512 * _PMD_PAGES

Filler = Literal["page_tables", "ordinary", "pipe", "secret"]


class SpreadConfig(WorkloadConfig):
    """``filler_pages`` pages of kind ``filler`` before each of ``secret_pages`` secret pages; then the filler is freed.

    Attributes:
        filler: `page_tables` (one zero page read per 2 MiB of address space; no limit applies), `ordinary` memory
            (movable), `pipe` buffers (unmovable), or `secret` pages of another file.
        touched: secret pages touched, if fewer than the file has.
        hold: how long the secret pages stay after the filler is gone.
        free_filler: False: the filler stays as long as the secret pages.
        pages_per_file: secret pages of a file; None: one file has them all.
        pins: page tables that are kept, each behind ``filler_pages`` others that are freed before the first secret page
            is touched: with 511, no free 2M block is left where they lie.
        keep_mapped: False: each file is unmapped once touched and stays open, which gives the budget back (`per_mm`).
    """

    kind: Literal["spread"] = "spread"
    secret_pages: Positive = 256
    filler: Filler = "page_tables"
    filler_pages: Count = 511
    touched: Positive | None = None
    hold: Nanoseconds = 0
    free_filler: bool = True
    pages_per_file: Positive | None = None
    pins: Count = 0
    keep_mapped: bool = True


class Spread(Workload):
    """See `SpreadConfig`."""

    Config = SpreadConfig
    config: SpreadConfig

    def run(self, thread: Thread) -> Wait:
        """Fill and touch in turn, free the filler, hold, let go."""
        config, kernel = self.config, self.system.kernel
        touched = min(config.secret_pages, config.touched or config.secret_pages)
        total = config.secret_pages * config.filler_pages
        per_file = min(config.pages_per_file or config.secret_pages, config.secret_pages)
        opened: list[tuple[SecretFile, Mapping]] = []
        if config.pins:
            yield from self._pin(thread)
        # The first file is mapped above the filler.
        file = yield from thread.open_secret(per_file)
        opened.append((file, (yield from thread.map_secret(file, per_file))))
        filler: Mapping | None = None
        if config.filler == "page_tables" and total:
            filler = kernel.map_ordinary(thread.task, _whole(total * _PTE_PAGES, _PUD_PAGES) + _PUD_PAGES, thread.cpu)
        elif config.filler == "ordinary" and total:
            filler = kernel.map_ordinary(thread.task, _whole(total, _PMD_PAGES) + _PMD_PAGES, thread.cpu)
        elif config.filler == "secret" and total:
            other = yield from thread.open_secret(total)
            filler = yield from thread.map_secret(other, total)
        yield from self.sample(thread, "ready")
        for number in range(touched):
            yield from self.paced(thread, number)
            if number and number % per_file == 0:
                self.filled(opened[-1][0])
                if not config.keep_mapped:
                    yield from thread.unmap(opened[-1][1])
                file = yield from thread.open_secret(per_file)
                opened.append((file, (yield from thread.map_secret(file, per_file))))
            if config.filler_pages:
                yield from self._fill(thread, filler)
            yield from self.touch_secret(thread, opened[-1][1])
            self.count("secret_pages")
            yield from self.sample(thread, "secret", number + 1)
        self.filled(opened[-1][0])
        yield from self.sample(thread, "peak")
        if config.hold and not config.free_filler:
            yield from self.hold(thread, config.hold)
        if filler is not None:
            yield from thread.unmap(filler)
            if filler.file is not None:
                yield from thread.close(filler.file)
        elif config.filler == "pipe":
            kernel.close_pipes(thread.task, thread.cpu)
            yield from thread.spend()
        yield from self.sample(thread, "fillfreed")
        if config.hold and config.free_filler:
            yield from self.hold(thread, config.hold)
        for file, mapping in opened:
            if mapping in thread.task.mappings:
                yield from thread.unmap(mapping)
            yield from thread.close(file)
        yield from self.sample(thread, "secretfreed")

    def _pin(self, thread: Thread) -> Wait:
        """Leave one page table behind in every run of filler; it stays as long as the task."""
        config, kernel = self.config, self.system.kernel
        between = kernel.map_ordinary(thread.task, config.pins * max(1, config.filler_pages) * 512, thread.cpu)
        kept = kernel.map_ordinary(thread.task, config.pins * 512, thread.cpu)
        for _ in range(config.pins):
            yield from thread.touch_tables(between, config.filler_pages)
            yield from thread.touch_tables(kept, 1)
        yield from thread.unmap(between)

    def _fill(self, thread: Thread, filler: Mapping | None) -> Wait:
        config = self.config
        if config.filler == "ordinary":
            yield from thread.touch(config.filler_pages, filler)
        elif config.filler == "pipe":
            yield from thread.write_pipe(config.filler_pages)
        elif config.filler == "secret":
            assert filler is not None
            yield from thread.touch_secret(filler, config.filler_pages)
        else:
            assert filler is not None
            yield from thread.touch_tables(filler, config.filler_pages)


def _whole(pages: int, unit: int) -> int:
    """Round a length up: the filler's area is of whole tables, so that its own lie the same wherever it begins."""
    return -(-pages // unit) * unit
