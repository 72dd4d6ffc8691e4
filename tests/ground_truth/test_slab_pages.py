"""When single slab pages are taken: it hangs on callbacks and ticks, and decides which blocks can be chunks again."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from models.host.recorded_schedule import schedule_of
from models.host.recording import AllocatorRecording
from models.host.simulate import simulate
from models.kernel.kernel import Kernel
from models.kernel.pool_chunks import CHUNK_ORDER
from tests.ground_truth.recorded import read

#: Slab caches to what their call sites have in their names.
CACHES = {
    "maple_node": "mas_",
    "inode_cache": "slab:alloc_inode",
    "radix_tree_node": "slab:xas_alloc",
    "dentry": "slab:__d_alloc",
}
Slabs = Counter[tuple[str, int]]


def recorded_slabs(recording: AllocatorRecording) -> Slabs:
    """Slab caches with the number of chunks taken before each of their new slabs."""
    events, chunks, slabs = recording.events, 0, Counter[tuple[str, int]]()
    taken = (events.op == ord("A")) | (events.op == ord("B"))
    for index in np.flatnonzero(taken & (events.pfn > 0)):
        site = events.sites[events.site[index]].kind
        chunks += events.order[index] == CHUNK_ORDER
        slabs.update((cache, int(chunks)) for cache, part in CACHES.items() if part in site)
    return slabs


def simulated_slabs(recording: AllocatorRecording, patch: pytest.MonkeyPatch) -> Slabs:
    """The same of the last run of a simulation: what system calls and faults have taken more since the last one."""
    slabs, before, chunks, seen = Counter[tuple[str, int]](), np.zeros(0, np.int64), 0, list[Kernel]()

    def look(kernel: Kernel) -> None:
        nonlocal before, chunks
        if not seen or seen[-1] is not kernel:
            seen.append(kernel)
            slabs.clear()
            before, chunks = np.zeros(0, np.int64), 0
        now = kernel.state.caches["slabs"].copy()
        if len(before):
            numbers = {cache: kernel.programs.caches[cache] for cache in CACHES}
            slabs.update({(cache, chunks): max(0, int(now[n] - before[n])) for cache, n in numbers.items()})
        before = now

    def watched(name: str) -> Any:
        call = getattr(Kernel, name)

        def watch(kernel: Kernel, *args: Any, **kwargs: Any) -> Any:
            nonlocal chunks
            look(kernel)
            if name == "fault" and args[1].file.present == 0:
                chunks += 1
            done = call(kernel, *args, **kwargs)
            look(kernel)
            return done

        return watch

    with patch.context() as patched:
        for name in ("fault", "mmap", "munmap_parts", "memfd_secret", "close", "run_deferred"):
            patched.setattr(Kernel, name, watched(name))
        simulate(recording, schedule=schedule_of(recording))
    return slabs


@pytest.mark.parametrize("name", ["f_pagewise_4g_1500", "f_pool_4g_1500", "f_pool_4g_5000"])
def test_new_slabs_come_at_the_recorded_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but one in twenty, though each waits for callbacks of grace periods that ticks end."""
    recording = read("allocator", name)
    assert isinstance(recording, AllocatorRecording)
    recorded, simulated = recorded_slabs(recording), simulated_slabs(recording, monkeypatch)
    assert recorded.total() > 40
    assert (recorded & simulated).total() >= 0.95 * recorded.total()
