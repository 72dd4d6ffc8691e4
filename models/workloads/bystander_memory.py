"""A bystander's footprint, got through the page allocator like any other memory."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernel.chains import append, give_single, take
from models.kernel.kernel import Kernel
from models.kernel.pages.layout import MOVABLE, NONE, UNMOVABLE
from models.workloads.bystander_preset import BystanderPreset
from simcore.compiled import jit
from simcore.errors import SimcoreError

__all__ = ["Footprint", "lay_out"]

PAGE_BYTES: Final = 4096
CACHE_CHAIN: Final = 0
SLAB_CHAIN: Final = 1
_TURN_PAGES: Final = 256
"""Page cache and slabs grow in turns of about this many pages."""


class Footprint(NamedTuple):
    """Page frames of a bystander, in the order in which it got them; int64[pages]."""

    page_cache: NDArray[np.int64]
    slab: NDArray[np.int64]


@jit
def take_blocks(
    handle: int,
    cpu: int,
    node: int,
    holder: int,
    kind: int,
    order: int,
    migratetype: int,
    count: int,
    out: NDArray[np.int64],
) -> int:
    """Take blocks for a holder's chain, write their first frames to ``out``; returns how many there were."""
    for done in range(count):
        pfn = take(handle, cpu, node, order, migratetype)
        if pfn == NONE:
            return done
        append(handle, holder, kind, pfn, 0)
        out[done] = pfn
    return count


@jit
def give_blocks(handle: int, cpu: int, holder: int, kind: int, pfns: NDArray[np.int64], count: int) -> None:
    """Free blocks of a chain."""
    for k in range(count):
        give_single(handle, cpu, holder, kind, pfns[k])


def lay_out(kernel: Kernel, preset: BystanderPreset, random: np.random.Generator) -> Footprint:
    """Take a bystander's memory, page cache and slabs in turns, CPU after CPU; then free the slabs' holes.

    Raises:
        SimcoreError: there is not that much memory.
    """
    cpus, order = len(kernel.node_of), round(preset.slab_order.value)
    cache_pages = int(preset.page_cache_bytes.value) // PAGE_BYTES
    kept = int(preset.slab_bytes.value) // PAGE_BYTES >> order
    blocks = round(kept / (1 - preset.slab_holes.value))
    cache, slab = np.empty(cache_pages, np.int64), np.empty(blocks, np.int64)
    holder = kernel.new_holder()
    turns = max(1, (cache_pages + (blocks << order)) // _TURN_PAGES)
    for turn in range(turns):
        cpu = turn % cpus
        for out, kind, size, migratetype in ((cache, CACHE_CHAIN, 0, MOVABLE), (slab, SLAB_CHAIN, order, UNMOVABLE)):
            first, last = (len(out) * turn // turns, len(out) * (turn + 1) // turns)
            got = take_blocks(
                kernel.handle, cpu, kernel.node_of[cpu], holder, kind, size, migratetype, last - first, out[first:last]
            )
            if got < last - first:
                raise SimcoreError(
                    f"bystander {preset.name}: no memory for {cache_pages:,} pages of page cache "
                    f"and {blocks << order:,} of slabs"
                )
    gone = random.permutation(blocks)[kept:]
    gone.sort()
    # Whoever frees is whoever runs: a cache that shrinks does so on all CPUs.
    for cpu in range(cpus):
        part = slab[gone[cpu::cpus]]
        give_blocks(kernel.handle, cpu, holder, SLAB_CHAIN, part, len(part))
    left = np.delete(slab, gone)
    return Footprint(cache, (left[:, None] + np.arange(1 << order)).ravel())
