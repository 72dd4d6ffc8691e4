"""Record pointer chases in a virtual machine over guest frames whose layout is chosen, not found.

``python tests/benchmarks/bench_chase_layouts.py > FILE.csv`` (root, for frame numbers; 768 MiB for two
minutes). Pages of a large area are moved (``mremap``) so that a compact range of addresses is backed by frames
in a row (``row``: eight pages share a line of the host's tables) or by frames that lie alone in theirs
(``lone``), and the chase runs over that range. The guest's own tables are the same for both. ``2M`` is the
same chase in transparent huge pages.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from itertools import product
from time import perf_counter_ns

import numpy as np
import numpy.typing as npt

from models.host.pointer_chase import follow

Words = npt.NDArray[np.int64]

FOOTPRINTS = (2896, 4096, 5792, 8192, 16384)
ARENA_PAGES = 768 * 256
RUNS, DRAWS, REPEATS, STEPS = 3, 16, 10, 50_000
WHOLE_LINES = 16  # Of a host table, for its region to be drawn from.
MREMAP_FLAGS = 1 | 2 | 4  # MAYMOVE, FIXED, DONTUNMAP: no hole is left for others to be mapped into.


def _area(n_pages: int, huge: bool) -> tuple[mmap.mmap, Words]:
    """Return touched memory that begins at a 2M boundary, page after page."""
    memory = mmap.mmap(-1, n_pages * 4096 + (2 << 20), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE if huge else mmap.MADV_NOHUGEPAGE)
    words = np.frombuffer(memory, np.int64)
    offset = -words.ctypes.data % (2 << 20) // 8
    words = words[offset : offset + n_pages * 512]
    words[::512] = 0
    return memory, words


def _frames(words: Words) -> Words:
    with open("/proc/self/pagemap", "rb") as file:
        file.seek(words.ctypes.data // 4096 * 8)
        entries = np.frombuffer(file.read(len(words) // 512 * 8), np.uint64)
    return (entries & np.uint64((1 << 55) - 1)).astype(np.int64)


def _whole_lines(frames: Words) -> list[list[list[int]]]:
    """Return, for each 2M region of frames, the pages behind those of its table lines that are whole."""
    lines: dict[int, list[int]] = {}
    for page in np.argsort(frames).tolist():
        lines.setdefault(int(frames[page]) >> 3, []).append(page)
    regions: dict[int, list[list[int]]] = {}
    for line, pages in lines.items():
        if len(pages) == 8:
            regions.setdefault(line >> 6, []).append(pages)
    return [whole for whole in regions.values() if len(whole) >= WHOLE_LINES]


def _drawn(regions: list[list[list[int]]], layout: str, n_pages: int, random: np.random.Generator) -> list[int]:
    pages: list[int] = []
    for region in random.permutation(len(regions)).tolist():
        for line in regions[region]:
            pages += line if layout == "row" else [line[random.integers(8)]]
        if len(pages) >= n_pages:
            return pages[:n_pages]
    raise MemoryError("the area is too scattered: not enough whole lines")


def _step_ns(words: Words, n_pages: int, random: np.random.Generator) -> float:
    order = random.permutation(n_pages)
    places = order * 512 + order % 64 * 8
    words[places] = np.roll(places, -1)
    at = follow(words, 3 * n_pages, int(places[0]))
    times = []
    for _ in range(REPEATS):
        began = perf_counter_ns()
        at = follow(words, STEPS, at)
        times.append((perf_counter_ns() - began) / STEPS)
    return min(times)


def main() -> None:
    """Print the rows."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mremap.restype = ctypes.c_void_p
    libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]

    def move(source: int, target: int) -> None:
        if libc.mremap(source, 4096, 4096, MREMAP_FLAGS, target) != target:
            raise OSError(ctypes.get_errno(), "mremap")

    arena_memory, arena = _area(ARENA_PAGES, huge=False)
    frames = _frames(arena)
    if not frames.any():
        sys.exit("frame numbers are for root only")
    regions = _whole_lines(frames)
    print("run,layout,npages4k,host_lines,host_tables,ns_min,ns_quarter")
    for run, n_pages in product(range(1, RUNS + 1), FOOTPRINTS):
        for layout in ("2M", "row", "lone"):
            steps, lines, tables = [], 0, 0
            for draw in range(DRAWS):
                random = np.random.default_rng([run, draw])
                memory, words = _area(n_pages, huge=layout == "2M")
                pages = [] if layout == "2M" else _drawn(regions, layout, n_pages, random)
                slots = [
                    (arena.ctypes.data + 4096 * page, words.ctypes.data + 4096 * at)
                    for at, page in enumerate(pages)
                ]
                for page, slot in slots:
                    move(page, slot)
                held = _frames(words)
                lines, tables = len(np.unique(held >> 3)), len(np.unique(held >> 9))
                steps.append(_step_ns(words, n_pages, random))
                for page, slot in slots:
                    move(slot, page)
                del words, memory
            quarter = float(np.quantile(steps, 0.25))
            print(f"{run},{layout},{n_pages},{lines},{tables},{min(steps):.2f},{quarter:.2f}", flush=True)
    del arena, arena_memory


if __name__ == "__main__":
    main()
