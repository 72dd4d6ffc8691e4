"""The workloads of a live run: the system calls that `models.workloads` simulates, made for real.

Imports next to nothing, so that the process that runs it is small and takes little memory of its own.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any

from models.host.system_calls import MAP_NORESERVE, die_with_parent, memfd_secret
from models.host.worker_sampling import Sampler

__all__ = ["WORKLOADS", "Live"]

PAGE = mmap.PAGESIZE
_TABLE_REACH = 512 * PAGE
_STEPS = 24


class Live:
    """What a workload needs: the sampler, and where the frames of its secret pages go.

    Attributes:
        sampler: reads the counters.
        frames: frames of secret pages in the order of their faults, when they can be read.
        with_frames: whether they can (root).
    """

    def __init__(self, sampler: Sampler, *, with_frames: bool) -> None:
        self.sampler = sampler
        self.with_frames = with_frames
        self.frames: list[int] = []
        self._pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC) if with_frames else -1

    def secret_file(self, pages: int) -> tuple[int, mmap.mmap]:
        """Return a secret file and its mapping, nothing touched."""
        file = memfd_secret()
        os.ftruncate(file, pages * PAGE)
        return file, mmap.mmap(file, pages * PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)

    def touch(self, mapping: mmap.mmap, pages: int, first: int = 0) -> None:
        """Write to pages one after the other, each a fault."""
        for offset in range(first * PAGE, (first + pages) * PAGE, PAGE):
            mapping[offset] = 1
        self.sampler.secret_pages += pages

    def note_frames(self, mapping: mmap.mmap, pages: int) -> None:
        """Look up where secret pages lie; takes no time of the run."""
        if self.with_frames:
            self.sampler.pause(lambda: self.frames.extend(read_frames(self._pagemap, mapping, pages)))


def read_frames(pagemap: int, mapping: mmap.mmap, pages: int) -> list[int]:
    """Return the frames of the first pages of a mapping, from /proc/self/pagemap; none where it hides them."""
    import ctypes  # noqa: PLC0415 - loaded by system_calls already

    anchor = ctypes.c_char.from_buffer(mapping)
    address = ctypes.addressof(anchor)
    del anchor
    words = os.pread(pagemap, 8 * pages, address // PAGE * 8)
    entries = struct.unpack(f"<{len(words) // 8}Q", words)
    return [entry & (1 << 55) - 1 for entry in entries if entry >> 63 and entry & (1 << 55) - 1]


def _steps(total: int) -> set[int]:
    """Numbers at which to sample: all of few, an even choice of many."""
    every = max(1, total // _STEPS)
    return {*range(every, total, every), total}


def _hold(live: Live, hold_ns: int) -> None:
    live.sampler.sample("peak")
    if hold_ns:
        time.sleep(hold_ns / 1e9)
        live.sampler.sample("held")


def one_file(live: Live, config: dict[str, Any]) -> None:
    """See `models.workloads.files.OneFileConfig`."""
    sampler, pages = live.sampler, config["pages"]
    steps = _steps(pages)
    for round_ in range(config["repeat"]):
        _pace(config, round_)
        file, mapping = live.secret_file(pages)
        done = 0
        for step in sorted(steps):
            live.touch(mapping, step - done, done)
            done = step
            if done < pages:
                sampler.sample("fault")
        live.note_frames(mapping, pages)
        _hold(live, config["hold"])
        mapping.close()
        sampler.sample("munmap")
        os.close(file)
        sampler.secret_pages -= pages
        sampler.sample("close")


def many_files(live: Live, config: dict[str, Any]) -> None:
    """See `models.workloads.files.ManyFilesConfig`."""
    sampler, pages = live.sampler, config["pages"]
    steps, opened = _steps(config["files"]), []
    for number in range(config["files"]):
        _pace(config, number)
        file, mapping = live.secret_file(pages)
        live.touch(mapping, pages)
        live.note_frames(mapping, pages)
        if not config["keep_mapped"]:
            mapping.close()
        opened.append((file, mapping))
        if number + 1 in steps and number + 1 < config["files"]:
            sampler.sample("file")
    _hold(live, config["hold"])
    for _, mapping in opened:
        mapping.close()
    sampler.sample("munmap")
    for file, _ in opened:
        os.close(file)
        sampler.secret_pages -= pages
    sampler.sample("close")


def fork_bomb(live: Live, config: dict[str, Any]) -> None:
    """See `models.workloads.fork_bomb.ForkBombConfig`; children wait on a pipe, so that closing it ends them all."""
    sampler, parent = live.sampler, os.getpid()
    inherited = live.secret_file(1) if config["inherit"] else None
    if inherited is not None:
        live.touch(inherited[1], 1)
        live.note_frames(inherited[1], 1)
    ready_read, ready_write = os.pipe()
    go_read, go_write = os.pipe()
    steps, children = _steps(config["tasks"]), []
    waiting = 0
    record = struct.calcsize("<iQ")
    try:
        for number in range(config["tasks"]):
            _pace(config, number)
            child = os.fork()
            if child == 0:
                _bomb_child(live, config, parent, ready_write, go_read, (ready_read, go_write))
            children.append(child)
            sampler.tasks += 1
            waiting += 1
            while waiting and (config["in_step"] or waiting >= _AHEAD or number + 1 == config["tasks"]):
                waiting -= 1
                _take_report(live, config, os.read(ready_read, record))
            if number + 1 in steps and number + 1 < config["tasks"]:
                sampler.sample("fork")
        sampler.sample("peak")
    finally:
        os.close(go_write)
        for child in children:
            os.waitpid(child, 0)
            sampler.tasks -= 1
        for end in (ready_read, ready_write, go_read):
            os.close(end)
    sampler.secret_pages = 0
    if inherited is not None:
        inherited[1].close()
        os.close(inherited[0])
    sampler.sample("allexit")


_AHEAD = 8
"""Children that may be on their way at once: enough to keep several CPUs busy."""


def _take_report(live: Live, config: dict[str, Any], report: bytes) -> None:
    number, frame = struct.unpack("<iQ", report)
    if number:
        raise OSError(number, os.strerror(number), "a task of the fork bomb")
    live.sampler.secret_pages += config["secret_pages"]
    if frame:
        live.frames.append(frame)


def _bomb_child(live: Live, config: dict[str, Any], parent: int, ready: int, go: int, not_mine: Sequence[int]) -> None:
    """One task: its pages, a report, and the wait; never returns."""
    status = 1
    try:
        die_with_parent(parent)
        for end in not_mine:
            os.close(end)
        ordinary = [_ordinary(config["ordinary_before"])]
        frame = 0
        if config["secret_pages"]:
            _, mapping = live.secret_file(config["secret_pages"])
            live.touch(mapping, config["secret_pages"])
            if live.with_frames:
                pagemap = os.open("/proc/self/pagemap", os.O_RDONLY)
                frame = (read_frames(pagemap, mapping, 1) or [0])[0]
                os.close(pagemap)
        ordinary.append(_ordinary(config["ordinary_after"]))
        os.write(ready, struct.pack("<iQ", 0, frame))
        if config["hold"] is None:
            os.read(go, 1)  # until the first task closes its end
        else:
            time.sleep(config["hold"] / 1e9)
        status = 0
    except OSError as error:
        os.write(ready, struct.pack("<iQ", error.errno or 1, 0))
    finally:
        os._exit(status)


def _ordinary(pages: int) -> mmap.mmap | None:
    if not pages:
        return None
    memory = mmap.mmap(-1, pages * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    for offset in range(0, pages * PAGE, PAGE):
        memory[offset] = 1
    return memory


def spread(live: Live, config: dict[str, Any]) -> None:
    """See `models.workloads.spread.SpreadConfig`."""
    sampler, pages, each = live.sampler, config["secret_pages"], config["filler_pages"]
    file, mapping = live.secret_file(pages)
    fill, free = _filler(live, config["filler"], pages * each)
    steps = _steps(pages)
    for number in range(pages):
        _pace(config, number)
        if each:
            fill(number * each, each)
        live.touch(mapping, 1, number)
        if number + 1 in steps and number + 1 < pages:
            sampler.sample("fault")
    live.note_frames(mapping, pages)
    sampler.sample("peak")
    free()
    sampler.sample("fillfreed")
    if config["hold"]:
        time.sleep(config["hold"] / 1e9)
    mapping.close()
    os.close(file)
    sampler.secret_pages -= pages
    sampler.sample("secretfreed")


def _filler(live: Live, kind: str, total: int) -> tuple[Callable[[int, int], None], Callable[[], None]]:
    """Return what fills (first page, count) and what frees all of it."""
    if not total:
        return (lambda first, count: None), (lambda: None)
    if kind == "secret":
        file, secret = live.secret_file(total)

        def close() -> None:
            secret.close()
            os.close(file)
            live.sampler.secret_pages -= total

        return (lambda first, count: live.touch(secret, count, first)), close
    if kind == "pipe":
        return _pipes()
    reach = _TABLE_REACH if kind == "page_tables" else PAGE
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    access = mmap.PROT_READ if kind == "page_tables" else mmap.PROT_READ | mmap.PROT_WRITE
    memory = mmap.mmap(-1, (total + 1) * reach, flags, access)
    memory.madvise(mmap.MADV_NOHUGEPAGE)

    def fill(first: int, count: int) -> None:
        for offset in range(first * reach, (first + count) * reach, reach):
            if reach == PAGE:
                memory[offset] = 1
            else:
                _ = memory[offset]  # maps the zero page: takes a page table and nothing else

    return fill, memory.close


def _pipes() -> tuple[Callable[[int, int], None], Callable[[], None]]:
    pipes: list[tuple[int, int]] = []
    room = [0]

    def fill(_first: int, count: int) -> None:
        for _ in range(count):
            if not room[0]:
                pipes.append(os.pipe())
                room[0] = 16  # buffers of a pipe by default, a page each
            os.write(pipes[-1][1], bytes(PAGE))
            room[0] -= 1

    def close() -> None:
        for pair in pipes:
            for end in pair:
                os.close(end)

    return fill, close


def churn(live: Live, config: dict[str, Any]) -> None:
    """See `models.workloads.churn.ChurnConfig`; ``operations`` are drawn by whoever starts the run."""
    sampler, places = live.sampler, {}
    operations = config["operations"]
    steps = _steps(len(operations))
    for number, (slot, pages, ordinary) in enumerate(operations):
        _pace(config, number)
        if pages > 0:
            file, mapping = live.secret_file(pages)
            live.touch(mapping, pages)
            live.note_frames(mapping, pages)
            places[slot] = (file, mapping, pages, _ordinary(ordinary))
        else:
            file, mapping, held, beside = places.pop(slot)
            mapping.close()
            if beside is not None:
                beside.close()
            os.close(file)
            sampler.secret_pages -= held
        if number + 1 in steps:
            sampler.sample("step")


def _pace(config: dict[str, Any], begun: int) -> None:
    """Wait until the next operation may begin under the workload's rate."""
    if config.get("rate"):
        due = config["began_s"] + begun / config["rate"]
        time.sleep(max(0.0, due - time.monotonic()))


WORKLOADS: dict[str, Callable[[Live, dict[str, Any]], None]] = {
    "one_file": one_file, "many_files": many_files, "fork_bomb": fork_bomb, "spread": spread, "churn": churn,
}  # fmt: skip
