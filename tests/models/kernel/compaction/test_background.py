"""kswapd after fragmentation, and kcompactd: who is woken, and what is left out after failures."""

from __future__ import annotations

import numpy as np
import pytest

from models.host.recorded_kernel import recorded_kernel
from models.host.recording import AllocatorRecording, read_recording
from models.kernel.compaction.background import Background
from models.kernel.kernel import Kernel
from models.kernel.pages.fallback import FORKED, LRU
from models.kernel.pages.layout import MOVABLE
from tests.models.host.edited_recordings import ALLOCATOR
from tests.models.kernel.machines import buddy_blocks

FOR_EVER = 1 << 62


@pytest.fixture
def kernel() -> Kernel:
    """A kernel whose free memory is in pieces, since a program gave every second run of pages back."""
    recording = read_recording(ALLOCATOR / "b_page_1g_steal.json.gz")
    assert isinstance(recording, AllocatorRecording)
    return recorded_kernel(recording)


def boost(kernel: Kernel, pages: int = 512) -> None:
    kernel.store.zones["boost"], kernel.store.zones["boosted"] = pages, 1


def use_up_blocks(kernel: Kernel) -> None:
    """Take all free blocks of 2 MiB and more off the lists."""
    zones = kernel.store.zones
    for order in (10, 9):
        for migratetype in range(3):
            for pfn in buddy_blocks(kernel.store, 0, order, migratetype):
                zones["free_pages"] -= 1 << order
                kernel.store.pages["state"][pfn] = 3
            which = kernel.store.lists[order * 6 + migratetype]
            which["head"] = which["tail"] = -1
            which["blocks"] = 0


def test_kswapd_lowers_the_boost_and_asks_for_blocks(kernel: Kernel) -> None:
    """It finds nothing to reclaim; kcompactd is to make blocks, if there are none."""
    background = Background(kernel.state, kernel.costs)
    boost(kernel)
    assert background.boosted
    assert not background.wake_kswapd()  # there are free blocks
    assert not background.boosted
    assert int(kernel.store.zones["boost"][0]) == 0
    assert background.requested
    use_up_blocks(kernel)
    boost(kernel)
    assert background.wake_kswapd()


def test_kswapd_gives_up_after_sixteen_failures(kernel: Kernel) -> None:
    """A kswapd that never reclaims anything is left asleep, and watermarks stay boosted."""
    background = Background(kernel.state, kernel.costs)
    use_up_blocks(kernel)
    for _ in range(16):
        boost(kernel)
        assert background.wake_kswapd()
    boost(kernel)
    assert not background.wake_kswapd()
    assert int(kernel.store.zones["boost"][0]) == 512
    assert background.failures == 16


def test_a_run_on_request_makes_a_block_and_takes_time_for_each_page(kernel: Kernel) -> None:
    """What it takes is what the pages cost that it moved, and the pages that it looked at."""
    background = Background(kernel.state, kernel.costs)
    use_up_blocks(kernel)
    assert background.begin(0, 0, whole=False)
    ended, spent_ns = background.run_for(FOR_EVER)
    control = background.compaction.control[0]
    move = kernel.costs.values.move_page_ns
    assert ended
    assert move is not None
    assert len(buddy_blocks(kernel.store, 0, 9, MOVABLE)) + len(buddy_blocks(kernel.store, 0, 10, MOVABLE)) > 0
    assert control["pages_moved"] > 0
    assert spent_ns >= int(control["pages_moved"]) * move.value
    assert not background.begin(0, 0, whole=False)  # there is a block now


def test_a_run_may_be_interrupted_at_any_time(kernel: Kernel) -> None:
    """In slices it does what it does in one go."""
    states = []
    for slice_ns in (FOR_EVER, 100_000):
        recording = read_recording(ALLOCATOR / "b_page_1g_steal.json.gz")
        assert isinstance(recording, AllocatorRecording)
        other = recorded_kernel(recording)
        background = Background(other.state, other.costs)
        use_up_blocks(other)
        assert background.begin(0, 0, whole=False)
        while not background.run_for(slice_ns)[0]:
            pass
        states.append((other.store.pages["state"].copy(), other.store.lists["head"].copy()))
    assert all(np.array_equal(one, two) for one, two in zip(*states, strict=True))


def test_places_and_leftovers_take_their_time(kernel: Kernel) -> None:
    """What a run takes is made of the pages that it moved, made places of and gave back, and of those it looked at."""
    background = Background(kernel.state, kernel.costs)
    use_up_blocks(kernel)
    assert background.begin(0, 0, whole=False)
    _, spent_ns = background.run_for(FOR_EVER)
    control, values = background.compaction.control[0], kernel.costs.values
    assert values.move_page_ns is not None
    assert values.isolate_page_ns is not None
    assert control["pages_isolated"] == control["pages_moved"] + control["pages_released"]
    assert spent_ns >= (
        int(control["pages_moved"]) * values.move_page_ns.value
        + int(control["pages_isolated"]) * values.isolate_page_ns.value
        + int(control["pages_released"]) * values.munmap_page_ns.value
    )


def test_unasked_it_works_only_on_memory_that_is_much_in_pieces(kernel: Kernel) -> None:
    """Above 90 percent in small blocks, and not at all when that was switched off."""
    assert Background(kernel.state, kernel.costs).fragmented() == (Background(kernel.state, kernel.costs).score() > 90)
    use_up_blocks(kernel)
    assert Background(kernel.state, kernel.costs).fragmented()
    assert not Background(kernel.state, kernel.costs, proactive=False).fragmented()


def test_failures_put_the_next_attempts_off(kernel: Kernel) -> None:
    """After a run that found no block one attempt is left out, then three, up to 63."""
    background = Background(kernel.state, kernel.costs)
    use_up_blocks(kernel)
    kernel.store.pages["flags"] &= ~1  # nothing can be moved
    left_out: list[int] = []
    for _ in range(3):
        begun = [background.begin(0, 0, whole=False) for _ in range(1 << len(left_out))]
        assert begun[-1]
        left_out.append(begun.count(False))
        assert background.run_for(FOR_EVER)[0]
        use_up_blocks(kernel)
    assert left_out == [0, 1, 3]


def test_pages_of_a_task_that_forked_take_longer_with_every_child(kernel: Kernel) -> None:
    """Whoever moves one looks at all processes that may map it."""
    children, spent = 100, list[int]()
    for flags in (LRU, LRU | FORKED):
        recording = read_recording(ALLOCATOR / "b_page_1g_steal.json.gz")
        assert isinstance(recording, AllocatorRecording)
        other = recorded_kernel(recording)
        movable = (other.store.pages["flags"] & LRU) > 0
        other.store.pages["flags"][movable] |= flags
        other.state.counts[0]["tasks_alive"] = other.state.counts[0]["first_tasks"] + children
        background = Background(other.state, other.costs)
        use_up_blocks(other)
        assert background.begin(0, 0, whole=False)
        spent.append(background.run_for(FOR_EVER)[1])
    walk = kernel.costs.values.walk_process_ns
    assert walk is not None
    assert spent[1] - spent[0] == background.compaction.control[0]["pages_moved"] * children * walk.value


def test_it_asks_while_it_looks_for_places_but_not_while_it_splits_blocks(kernel: Kernel) -> None:
    """So a block may be taken whose pages are places only after others had the CPU."""
    background = Background(kernel.state, kernel.costs)
    use_up_blocks(kernel)
    assert background.begin(0, 0, whole=False)
    control, unsplit, ended = background.compaction.control[0], 0, False
    while not ended:
        before = int(control["pages_isolated"])
        ended, _ = background.run_for(1)
        if control["unsplit"]:
            unsplit += 1
            assert control["pages_isolated"] == before
    assert unsplit > 0
