"""A dependent pointer chase in memory of 4K and of 2M pages: what a TLB miss costs on this machine."""

from __future__ import annotations

import mmap
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from simcore.compiled import jit

__all__ = ["chase_ns", "follow"]

_LINE_WORDS = 8
_STEPS = 400_000


@jit
def follow(memory: NDArray[np.int64], steps: int, at: int) -> int:
    """Return the word reached from ``at``, each word being the number of the next."""
    for _ in range(steps):
        at = memory[at]
    return at


def chase_ns(size_bytes: int, *, huge: bool, seed: int = 0) -> float | None:
    """Return the time of one access of a random cycle through one line of every 4K page of ``size_bytes``, ns.

    Args:
        size_bytes: a multiple of 2 MiB.
        huge: 2M pages (transparent huge pages by madvise); None is returned where the kernel gives none.
        seed: of the cycle.
    """
    memory = mmap.mmap(-1, size_bytes + (2 << 20), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        memory.madvise(mmap.MADV_HUGEPAGE if huge else mmap.MADV_NOHUGEPAGE)
    except OSError:
        memory.close()
        return None
    words = np.frombuffer(memory, np.int64)
    aligned = -(-words.ctypes.data // (2 << 20)) * (2 << 20)
    words = words[(aligned - words.ctypes.data) // 8 :][: size_bytes // 8]
    before = _huge_kb()
    words[:: 4096 // 8] = 0
    if huge and _huge_kb() - before < size_bytes // 1024 // 2:
        return None
    random = np.random.default_rng(seed)
    pages = random.permutation(size_bytes // 4096)
    places = pages * 512 + random.integers(512 // _LINE_WORDS, size=len(pages)) * _LINE_WORDS
    words[places] = np.roll(places, -1)
    at = follow(words, 1, int(places[0]))
    times = []
    for _ in range(3):
        began = perf_counter_ns()
        at = follow(words, _STEPS, at)
        times.append((perf_counter_ns() - began) / _STEPS)
    return min(times)


def _huge_kb() -> int:
    with open("/proc/self/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("AnonHugePages:"))
