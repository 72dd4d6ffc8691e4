"""A fresh machine looks like one that a real kernel has just booted; an old one does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.host.recording import AllocatorRecording, read_recording
from models.kernel.ageing_preset import fresh_preset
from models.kernel.kernel import Kernel
from models.kernel.pages.layout import MOVABLE, RECLAIMABLE, UNMOVABLE
from tests.models.kernel.machines import boot, buddy_blocks, check_pages

RECORDINGS = Path(__file__).parents[2] / "recordings" / "allocator"
TYPES = (UNMOVABLE, MOVABLE, RECLAIMABLE)


def fresh(cpus: int, seed: int, memory: str = "4GiB") -> Kernel:
    return boot({"memory": memory, "cpus": cpus}, {"boot": "minimal", "state": {"profile": "fresh"}}, seed)


def recorded(name: str) -> AllocatorRecording:
    recording = read_recording(RECORDINGS / f"{name}.json.gz")
    assert isinstance(recording, AllocatorRecording)
    return recording


@pytest.mark.parametrize(("name", "cpus"), [("a_page_4g_4096", 1), ("a_page_4g_4096_2cpu", 2)])
@pytest.mark.parametrize("seed", range(3))
def test_like_a_recorded_boot(name: str, cpus: int, seed: int) -> None:
    """Pages in use, pageblocks by type, what lies on per-CPU lists, and leftovers in the lists of each type."""
    recording, kernel = recorded(name), fresh(cpus, seed)
    store, state = kernel.store, recording.initial
    check_pages(store)
    (low, high) = recording.machine.zones
    on_cpus = [int(store.per_cpu[1, cpu]["count"]) for cpu in range(cpus)]
    listed = sum(len(buddy_blocks(store, 1, order, kind)) << order for order in range(11) for kind in TYPES)
    free = sum(len(pfns) << order for (zone, order, _), pfns in state.free_lists.items() if zone == high.index)
    held = [state.pcp[high.index, cpu].count for cpu in range(cpus)]
    used = int(store.zones[1]["managed"]) - listed - sum(on_cpus)
    assert used == pytest.approx(high.managed - free - sum(held), rel=0.02)

    zone = store.zones[1]
    kinds = store.block_types[int(zone["start_pfn"]) >> 9 : int(zone["end_pfn"]) >> 9] ^ MOVABLE
    blocks = state.pageblocks[high.index].types
    for kind in (UNMOVABLE, RECLAIMABLE):
        assert int((kinds == kind).sum()) == int((blocks == kind).sum())

    assert np.mean(on_cpus) == pytest.approx(np.mean(held), rel=0.5)
    for kind in TYPES:
        lengths = [len(buddy_blocks(store, 1, order, kind)) for order in range(10)]
        assert max(lengths) <= 2, "a boot leaves the upper halves of split blocks, not holes"
        assert sum(lengths) > 0

    # The lowest zone: nothing in use, and on the first CPU's list what the boot gave back late.
    late = sum(state.pcp[low.index, cpu].count for cpu in range(cpus))
    assert int(store.per_cpu[0]["count"].sum()) == pytest.approx(late, rel=0.1)


def test_boots_differ_in_detail() -> None:
    """Another seed, other leftovers; the same seed, the same ones."""

    def lists(seed: int) -> list[list[int]]:
        store = fresh(1, seed).store
        return [buddy_blocks(store, 1, order, kind) for order in range(10) for kind in TYPES]

    assert lists(1) == lists(1)
    assert lists(1) != lists(2)


def test_what_a_boot_keeps() -> None:
    """The preset's pages, give or take a request of each type; more with more CPUs."""
    preset = fresh_preset()
    random = np.random.default_rng(0)
    for cpus in (1, 8):
        types, orders = preset.draw(random, cpus)
        wanted = {str(name): kept for name, kept in preset.kept_pages.items()}
        wanted["unmovable"] += preset.kept_pages_per_further_cpu * (cpus - 1)
        for name, kind in (("unmovable", UNMOVABLE), ("movable", MOVABLE), ("reclaimable", RECLAIMABLE)):
            taken = int((1 << orders[types == kind]).sum())
            assert wanted[name] <= taken < wanted[name] + 8


def test_each_node_boots_with_its_own_cpus() -> None:
    """The leftovers of a boot lie on both nodes."""
    kernel = boot({"memory": "8GiB", "cpus": 4, "nodes": 2}, {"boot": "minimal", "state": {"profile": "fresh"}})
    check_pages(kernel.store)
    for zone in range(len(kernel.store.zones)):
        record = kernel.store.zones[zone]
        if record["kind"] == 1:
            kinds = kernel.store.block_types[int(record["start_pfn"]) >> 9 : int(record["end_pfn"]) >> 9] ^ MOVABLE
            assert (kinds == UNMOVABLE).any()


def test_a_long_life_scatters_free_memory() -> None:
    """After churn, free memory lies in many blocks of many pageblocks, and the books still agree."""
    pristine = boot({"memory": "512MiB", "cpus": 2}, {"boot": "minimal", "state": {"profile": "pristine"}})
    aged = boot({"memory": "512MiB", "cpus": 2}, {"boot": "minimal", "state": {"profile": "fragmented"}})
    check_pages(aged.store)

    def blocks(kernel: Kernel) -> int:
        return sum(len(buddy_blocks(kernel.store, 0, order, kind)) for order in range(10) for kind in TYPES)

    assert blocks(aged) > 10 * blocks(pristine)
    managed = int(aged.store.zones["managed"].sum())
    assert check_pages(aged.store).used == pytest.approx(managed / 2, rel=0.1)
