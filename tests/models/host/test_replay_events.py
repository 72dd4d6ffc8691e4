"""Events that few recordings have, replayed from streams made for each: compaction, reserves, failures, many CPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.host.comparison import Options
from models.host.recording import AllocatorRecording, read_recording
from models.host.recording_fields import MIGRATETYPES
from models.host.replay import Replay, replay
from models.host.replay_comparison import compare
from models.host.restore import list_pfns
from models.kernel.pages.buddy import block_type
from models.kernel.pages.lists import buddy_list, per_cpu_list
from tests.models.host.edited_recordings import ALLOCATOR, load, smallest, store
from tests.models.host.made_streams import (
    ATOMIC_SLOW,
    FAST,
    GFP_ATOMIC,
    HIGHATOMIC,
    MOVABLE,
    NO_FRAGMENT,
    RECLAIMABLE,
    UNMOVABLE,
    Event,
    small,
    with_events,
    with_free,
    with_listed,
    with_types,
)  # fmt: skip

#: First page of a 4M block well inside the only zone of the small machine.
BLOCK = 100 << 10


def run(recording: AllocatorRecording, *events: Event) -> Replay:
    return replay(with_events(recording, list(events)))


def exact(recording: AllocatorRecording, *events: Event) -> Replay:
    """Replay events that the kernel would have recorded: none may be predicted otherwise."""
    outcome = run(recording, *events)
    assert outcome.diverged_at is None, (outcome.diverged_at, outcome.predicted)
    assert outcome.exact == outcome.total
    return outcome


def free(outcome: Replay, order: int, migratetype: int, zone: int = 0) -> list[int]:
    return [int(pfn) for pfn in list_pfns(outcome.store, int(buddy_list(zone, order, migratetype)))]


def listed(outcome: Replay, index: int, cpu: int = 0, zone: int = 0) -> list[int]:
    return [int(pfn) for pfn in list_pfns(outcome.store, int(per_cpu_list(outcome.store.handle, zone, cpu, index)))]


def free_pages(outcome: Replay, zone: int = 0) -> int:
    store = outcome.store
    return int(store.zones[zone]["free_pages"] + store.per_cpu[zone]["free_pages_diff"].sum())


def test_a_block_that_compaction_isolates_leaves_the_lists_and_comes_back_to_the_tail() -> None:
    """I takes a block without an allocation; P puts it behind the others, where a plain free puts it before them."""
    others = [BLOCK + 64, BLOCK + 128]
    start = with_free(with_types(small(), {}), {(0, 3, MOVABLE): [BLOCK, *others]})
    taken = Event("I", BLOCK, 3, MOVABLE)
    outcome = exact(start, taken)
    assert free(outcome, 3, MOVABLE) == others
    assert free_pages(outcome) == 16
    outcome = exact(start, taken, Event("P", BLOCK, 3, MOVABLE))
    assert free(outcome, 3, MOVABLE) == [*others, BLOCK]
    assert free_pages(outcome) == 24
    assert free(exact(start, taken, Event("F", BLOCK, 3, MOVABLE, (0,))), 3, MOVABLE) == [BLOCK, *others]


@pytest.mark.parametrize(("order", "becomes"), [(7, UNMOVABLE), (8, MOVABLE), (9, MOVABLE), (10, MOVABLE)])
def test_half_a_pageblock_isolated_makes_it_movable(order: int, becomes: int) -> None:
    """What compaction takes of half a pageblock or more will hold what it moves there."""
    types = {BLOCK: UNMOVABLE, BLOCK + 512: UNMOVABLE, BLOCK + 1024: UNMOVABLE}
    start = with_free(with_types(small(), types), {(0, order, UNMOVABLE): [BLOCK]})
    outcome = exact(start, Event("I", BLOCK, order, UNMOVABLE))
    assert block_type(outcome.store.handle, BLOCK) == becomes
    assert block_type(outcome.store.handle, BLOCK + 512) == (MOVABLE if order == 10 else UNMOVABLE)
    assert block_type(outcome.store.handle, BLOCK + 1024) == UNMOVABLE


def test_a_reserved_block_stays_reserved_when_it_is_isolated() -> None:
    """Only blocks of the ordinary types change theirs."""
    start = with_free(with_types(small(), {BLOCK: HIGHATOMIC}), {(0, 8, HIGHATOMIC): [BLOCK]})
    assert block_type(exact(start, Event("I", BLOCK, 8, HIGHATOMIC)).store.handle, BLOCK) == HIGHATOMIC


def test_a_freed_block_that_a_request_waits_for_never_reaches_the_lists() -> None:
    """C: the free merges as always, and what it makes goes to the request when its order is reached."""
    halves = {(0, order, MOVABLE): [BLOCK + (1 << order)] for order in range(4, 9)}
    start = with_free(with_types(small(), {}), halves)
    outcome = exact(start, Event("F", BLOCK, 4, MOVABLE, (0,)), Event("C", BLOCK, 9, MOVABLE))
    assert all(free(outcome, order, MOVABLE) == [] for order in range(11))
    assert free_pages(outcome) == 0
    assert int(outcome.store.config[0]["captured"]) == 1


def test_a_block_captured_below_what_it_would_merge_to_leaves_its_buddies_alone() -> None:
    """The capture ends the merging: larger buddies stay where they are."""
    start = with_free(
        with_types(small(), {BLOCK: UNMOVABLE}), {(0, 2, UNMOVABLE): [BLOCK + 4], (0, 3, UNMOVABLE): [BLOCK + 8]}
    )
    event = Event("F", BLOCK, 2, UNMOVABLE, (0,))
    outcome = exact(start, event, Event("C", BLOCK, 3, UNMOVABLE))
    assert free(outcome, 2, UNMOVABLE) == []
    assert free(outcome, 3, UNMOVABLE) == [BLOCK + 8]
    assert free(exact(start, event), 4, UNMOVABLE) == [BLOCK]


def test_a_drain_hands_over_the_block_that_its_pages_make() -> None:
    """C after a drain: the rest of the drain goes to the lists."""
    start = with_free(with_types(small(), {}), {(0, 0, MOVABLE): [BLOCK + 1], (0, 1, MOVABLE): [BLOCK + 2]})
    start = with_listed(start, 0, 1, [BLOCK + 16, BLOCK], remembered=MOVABLE)
    events = (Event("D", 0, aux=(2,)), Event("d", aux=(2,)))
    outcome = exact(start, *events, Event("C", BLOCK, 2, MOVABLE))
    assert free(outcome, 0, MOVABLE) == [BLOCK + 16]
    assert free(outcome, 2, MOVABLE) == []
    assert free(exact(start, *events), 2, MOVABLE) == [BLOCK]


def test_a_capture_of_a_block_that_no_free_makes_is_a_divergence() -> None:
    """A capture is given, but it must be possible."""
    start = with_free(with_types(small(), {}), {(0, 4, MOVABLE): [BLOCK + 16]})
    outcome = run(start, Event("F", BLOCK, 4, MOVABLE, (0,)), Event("C", BLOCK, 9, MOVABLE))
    assert outcome.diverged_at == 1


def test_a_reserved_pageblock_moves_its_free_blocks_to_their_own_lists() -> None:
    """H: the pageblock counts as reserved, its free blocks go to the tails of the reserve's lists."""
    inside, outside = BLOCK + 32, BLOCK + 1024
    start = with_free(
        with_types(small(), {}), {(0, 2, MOVABLE): [inside, outside], (0, 3, MOVABLE): [BLOCK], (0, 5, HIGHATOMIC): []}
    )
    outcome = exact(start, Event("H", BLOCK + 8, 3, HIGHATOMIC, (12,)))
    assert free(outcome, 2, HIGHATOMIC) == [inside]
    assert free(outcome, 3, HIGHATOMIC) == [BLOCK]
    assert free(outcome, 2, MOVABLE) == [outside]
    assert block_type(outcome.store.handle, BLOCK) == HIGHATOMIC
    assert int(outcome.store.zones[0]["reserved_highatomic"]) == 512
    assert free_pages(outcome) == 16


@pytest.mark.parametrize("told", [RECLAIMABLE, HIGHATOMIC])
def test_a_reserve_given_back_is_of_the_type_that_is_wanted(told: int) -> None:
    """U: the type is the one the event says, or else the one that the request behind it asks for."""
    start = with_types(small(), {BLOCK: HIGHATOMIC})
    lists = {(0, 1, HIGHATOMIC): [BLOCK + 2], (0, 2, HIGHATOMIC): [BLOCK + 4]}
    start = with_free(start, lists, nr_reserved_highatomic=512)
    outcome = exact(
        start,
        Event("U", BLOCK + 2, 1, told, (6,)),
        Event("r", 0, 0, RECLAIMABLE, (6,)),
        Event("A", BLOCK + 2, 0, RECLAIMABLE),
    )
    assert block_type(outcome.store.handle, BLOCK) == RECLAIMABLE
    assert int(outcome.store.zones[0]["reserved_highatomic"]) == 0
    assert listed(outcome, RECLAIMABLE) == [BLOCK + k for k in range(3, 8)]


def test_pages_of_a_reserve_are_freed_as_movable_and_go_back_to_it() -> None:
    """A per-CPU list takes them for movable, but they remember what they are."""
    start = with_types(small(), {BLOCK: HIGHATOMIC})
    outcome = exact(
        start,
        Event("f", BLOCK, 0, MOVABLE, (HIGHATOMIC,)),
        Event("D", 0, aux=(1,)),
        Event("d", aux=(1,)),
        Event("F", BLOCK + 64, 4, HIGHATOMIC, (0,)),
    )
    assert free(outcome, 0, HIGHATOMIC) == [BLOCK]
    assert free(outcome, 4, HIGHATOMIC) == [BLOCK + 64]


def test_only_requests_that_may_use_the_reserve_do() -> None:
    """An ordinary request fails beside a reserve; an atomic one of a higher order takes from it first."""
    start = with_types(small(), {BLOCK: HIGHATOMIC, BLOCK + 512: UNMOVABLE})
    lists = {(0, 4, HIGHATOMIC): [BLOCK], (0, 4, UNMOVABLE): [BLOCK + 512]}
    start = with_free(start, lists, nr_reserved_highatomic=16)
    exact(start, Event("B", BLOCK + 512, 4, UNMOVABLE))
    exact(start, Event("B", BLOCK, 4, UNMOVABLE, flags=ATOMIC_SLOW | 0x200, gfp=GFP_ATOMIC))
    exact(start, Event("B", BLOCK + 512, 4, UNMOVABLE, flags=ATOMIC_SLOW, gfp=GFP_ATOMIC))


def test_a_page_that_cannot_wait_comes_out_of_the_reserve_at_last() -> None:
    """The per-CPU list cannot be refilled, the buddy lists are tried, then the reserve."""
    start = with_types(small(), {BLOCK: HIGHATOMIC})
    start = with_free(start, {(0, 0, HIGHATOMIC): [BLOCK]}, nr_reserved_highatomic=1)
    atomic: dict[str, Any] = {"flags": ATOMIC_SLOW, "gfp": GFP_ATOMIC}
    exact(start, Event("A", **atomic), Event("B", BLOCK, **atomic))
    waiting: dict[str, Any] = {"flags": FAST | 0x4}
    exact(start, Event("A", **waiting), Event("B", **waiting))


def test_boosts_do_not_make_atomic_requests_fail() -> None:
    """Below the boosted mark only single pages of atomic requests are still given, while the mark itself holds."""
    start = with_free(with_types(small(), {BLOCK: UNMOVABLE}), {(0, 9, UNMOVABLE): [BLOCK]}, watermark_boost=4096)
    events = Event("r", aux=(63,)), Event("A", BLOCK)
    minimum = [Event(e.op, e.pfn, aux=e.aux, flags=ATOMIC_SLOW, gfp=GFP_ATOMIC) for e in events]
    exact(start, *minimum)
    ordinary = [Event(e.op, e.pfn, aux=e.aux, flags=0x800) for e in events]
    assert run(start, *ordinary).diverged_at == 0


def two_zones() -> tuple[AllocatorRecording, int, int]:
    """A machine with two zones, and the first pageblock of a 4M block in each."""
    recording = small("a_page_4g_4096")
    low, high = sorted(recording.machine.zones, key=lambda zone: zone.index)
    return with_types(recording, {}), low.start_pfn // 1024 * 1024 + 4096, high.start_pfn // 1024 * 1024 + 4096


def test_a_zone_that_would_mix_types_passes_the_request_on() -> None:
    """First all zones are asked without mixing; a failure in one leads to the next, then to mixing in the first."""
    recording, low, high = two_zones()
    careful: dict[str, Any] = {"flags": FAST | NO_FRAGMENT}
    mixed = {(0, 3, MOVABLE): [low], (1, 3, MOVABLE): [high]}
    failing = [Event(op, zone=zone, **careful) for zone in (1, 0) for op in "AB"]
    outcome = exact(
        with_free(recording, mixed),
        *failing,
        Event("X", high, 3, UNMOVABLE, (0, MOVABLE, 1, FAST), zone=1),
        Event("Y", high, 3, UNMOVABLE, (8, 0, MOVABLE), zone=1),
        Event("r", 0, 0, UNMOVABLE, (8,), zone=1),
        Event("A", high, 0, UNMOVABLE, zone=1),
    )
    assert free(outcome, 3, MOVABLE, zone=0) == [low]
    whole = {(0, 3, UNMOVABLE): [low], (1, 3, MOVABLE): [high]}
    exact(
        with_free(recording, whole),
        *failing[:2],
        Event("r", 0, 0, UNMOVABLE, (8,), **careful),
        Event("A", low, 0, UNMOVABLE, **careful),
    )


def test_a_failed_attempt_is_not_remembered_beyond_the_next_event() -> None:
    """Another request of the same kind begins at the first zone again."""
    recording, low, high = two_zones()
    careful: dict[str, Any] = {"flags": FAST | NO_FRAGMENT}
    start = with_free(recording, {(0, 3, UNMOVABLE): [low], (1, 3, MOVABLE): [high]})
    exact(
        start,
        Event("A", zone=1, **careful),
        Event("B", zone=1, **careful),
        Event("f", high + 512, 0, MOVABLE, (MOVABLE,), zone=1),
        Event("A", zone=1, **careful),
        Event("B", zone=1, **careful),
        Event("r", 0, 0, UNMOVABLE, (8,), **careful),
        Event("A", low, 0, UNMOVABLE, **careful),
    )


def test_any_cpu_drains_any_other() -> None:
    """Four CPUs: the lists are those of the CPU named, the counter is that of the CPU that drains."""
    start = with_types(small(cpus=4), {})
    for cpu in range(4):
        start = with_listed(start, cpu, 1, [BLOCK + 64 * cpu + 2 * k for k in range(3)], remembered=MOVABLE)
    outcome = exact(start, Event("D", 1, aux=(3,), cpu=3), Event("d", aux=(3,), cpu=3))
    assert listed(outcome, 1, cpu=1) == []
    assert all(len(listed(outcome, 1, cpu=cpu)) == 3 for cpu in (0, 2, 3))
    assert free(outcome, 0, MOVABLE) == [BLOCK + 64, BLOCK + 66, BLOCK + 68]
    assert outcome.store.per_cpu[0]["free_pages_diff"].tolist() == [0, 0, 0, 3]


def test_sections_of_several_cpus_may_lie_between_each_other() -> None:
    """What a CPU did under the lock is done at its first event, whatever other CPUs' events come before its last."""
    lists = {(0, 9, UNMOVABLE): [BLOCK, BLOCK + 512]}
    start = with_free(with_types(small(cpus=4), {BLOCK: UNMOVABLE, BLOCK + 512: UNMOVABLE}), lists)
    batch = int(start.initial.pcp[0, 0].batch)
    outcome = exact(
        start,
        *(Event("r", aux=(batch,), cpu=cpu) for cpu in (2, 0, 3)),
        *(Event("A", BLOCK + batch * at, cpu=cpu) for at, cpu in ((2, 3), (0, 2), (1, 0))),
    )
    assert [len(listed(outcome, 0, cpu=cpu)) for cpu in range(4)] == [batch - 1, 0, batch - 1, batch - 1]


def test_a_type_that_another_cpu_changed_meanwhile_is_the_one_remembered() -> None:
    """A batch of frees reads the types first and takes the lock later: with several CPUs the stream says which."""
    event = Event("g", BLOCK, 0, UNMOVABLE, (UNMOVABLE,))
    outcome = exact(with_types(small(cpus=2), {}), event)
    assert listed(outcome, 0) == [BLOCK]
    assert run(with_types(small(), {}), event).diverged_at == 0


def test_reclaim_shortens_the_lists_of_its_zone() -> None:
    """R: with reclaim at work a CPU keeps four batches at the most, and what it has beyond goes."""
    start = with_types(small(), {})
    batch = int(start.initial.pcp[0, 0].batch)
    assert start.initial.pcp[0, 0].high > 4 * batch
    held = [BLOCK + 2 * k for k in range(4 * batch - 1)]
    start = with_listed(start, 0, 1, held, remembered=MOVABLE)
    freed = Event("f", BLOCK - 2, 0, MOVABLE, (MOVABLE,))
    outcome = exact(start, Event("R", aux=(1,)), freed, Event("d", 0, 1, aux=(batch,)))
    assert len(listed(outcome, 1)) == 3 * batch
    assert len(listed(exact(start, Event("R", aux=(1,)), Event("R", aux=(0,)), freed), 1)) == 4 * batch


def test_counts_given_by_the_stream_arrive_where_they_belong() -> None:
    """V folds a CPU's difference, W lowers a boost and never below nothing."""
    start = with_free(with_types(small(), {}), {(0, 4, MOVABLE): [BLOCK]}, watermark_boost=700)
    outcome = exact(start, Event("F", BLOCK + 64, 4, MOVABLE, (0,)), Event("V", aux=(16,)), Event("W", aux=(512,)))
    assert np.array_equal(outcome.store.per_cpu[0]["free_pages_diff"], [0])
    assert int(outcome.store.zones[0]["free_pages"]) == 32
    assert int(outcome.store.zones[0]["boost"]) == 188
    assert int(exact(start, Event("W", aux=(900,))).store.zones[0]["boost"]) == 0


def test_a_file_with_events_of_compaction_is_read_and_replayed(tmp_path: Path) -> None:
    """The reader follows what was isolated and put back, and the end state is the model's, list by list."""
    data = load(smallest(ALLOCATOR))
    stream, final = data["allocator_events"], data["final"]["free_lists"]
    listed = next(one for one in final if one["order"] < 8 and sum(one["pfns"][1::3]) > 1)
    pfns = [
        first + k * step
        for first, count, step in zip(*(listed["pfns"][at::3] for at in range(3)), strict=True)
        for k in range(count)
    ]
    listed["pfns"] = [number for pfn in [*pfns[1:], pfns[0]] for number in (pfn, 1, 0)]
    zone = next(one["index"] for one in data["machine"]["zones"] if one["name"] == listed["zone"])
    stream["op"] += "IP"
    stream["zone"] += 2 * str(zone)
    stream["order"] += 2 * str(listed["order"])
    stream["type"] += 2 * str(MIGRATETYPES.index(listed["type"]))
    stream["cpu"] += "00" if len(stream["cpu"]) > 1 else ""
    stream["pfn_delta"] += [pfns[0] - sum(stream["pfn_delta"]), 0]
    stream["request"] += 2 * stream["request"][-1:]
    stream["pid"][-1][1] += 2
    stream["count"] += 2
    recording = read_recording(store(data, tmp_path / "compacted.json.gz"))
    assert isinstance(recording, AllocatorRecording)
    comparison = compare(recording, Options())
    assert comparison.passed, comparison.first_divergence
