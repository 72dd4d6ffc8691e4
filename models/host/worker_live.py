"""What every live workload uses: secret files, touches, the frames of pages, when to sample and when to wait.

Imports next to nothing, so that the process that runs it is small and takes little memory of its own.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from typing import Any

from models.host.system_calls import memfd_secret
from models.host.worker_sampling import Sampler

__all__ = ["PAGE", "Live", "hold", "ordinary_memory", "pace", "read_frames", "sampling_steps"]

PAGE = mmap.PAGESIZE
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


def sampling_steps(total: int) -> set[int]:
    """Numbers at which to sample: all of few, an even choice of many."""
    every = max(1, total // _STEPS)
    return {*range(every, total, every), total}


def hold(live: Live, hold_ns: int) -> None:
    """Sample the peak and stay there for a while."""
    live.sampler.sample("peak")
    if hold_ns:
        time.sleep(hold_ns / 1e9)
        live.sampler.sample("held")


def ordinary_memory(pages: int) -> mmap.mmap | None:
    """Return touched anonymous memory, or None for no pages."""
    if not pages:
        return None
    memory = mmap.mmap(-1, pages * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    for offset in range(0, pages * PAGE, PAGE):
        memory[offset] = 1
    return memory


def pace(config: dict[str, Any], begun: int) -> None:
    """Wait until the next operation may begin under the workload's rate."""
    if config.get("rate"):
        due = config["began_s"] + begun / config["rate"]
        time.sleep(max(0.0, due - time.monotonic()))
