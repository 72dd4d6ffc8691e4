"""Who ran when, read off the events of a recording."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from models.host.recorded_schedule import OWN, Turn, schedule_of
from models.host.recording import AllocatorRecording
from models.kernel.compaction.control import FOR_EVER
from tests.ground_truth.recorded import names, read
from tests.models.host.made_streams import Event, small, with_events

KCOMPACTD, KSWAPD, TASK = 18, 20, 1
COMPACTS = "__isolate_free_page<compaction_alloc<migrate_pages_batch<compact_zone<kcompactd_do_work<kcompactd"
RELEASES = "free_unref_page_commit<release_freepages<compact_zone<kcompactd_do_work<kcompactd"
ELSEWHERE = "allocate_slab<kmem_cache_alloc<alloc_inode"


def stream(*letters: str) -> AllocatorRecording:
    """Events as letters: of kcompactd with a K before (KR: it releases what it has not used), of kswapd W, of tasks."""
    events, pids, sites = list[Event](), list[int](), list[int]()
    stacks = (ELSEWHERE, COMPACTS, RELEASES)
    for letter in ("M", *letters):
        own = letter.startswith("K") and len(letter) > 1
        op = "f" if letter == "KR" else letter[-1]
        aux = (1,) if op in "fgdDWmuL" else ()
        events.append(Event(op, pfn=100 + len(events), aux=aux))
        pids.append(KCOMPACTD if own else KSWAPD if op == "W" else TASK)
        sites.append(0 if not own else 2 if letter == "KR" else 1)
    made = with_events(small(), events)
    source = made.source.model_copy(update={"secretmem_policy": "page"})
    sites_of = tuple(replace(made.events.sites[0], stack=stack) for stack in stacks)
    changed = replace(made.events, pid=np.array(pids, np.int32), site=np.array(sites, np.int32), sites=sites_of)
    return replace(made, source=source, events=changed)


def test_a_turn_begins_where_the_tasks_are_and_ends_by_what_was_done() -> None:
    """After two requests; two blocks isolated, a page given back, a drain, and a rotation that does not count."""
    schedule = schedule_of(stream("A", "A", "KI", "KL", "KI", "Kf", "KD", "A", "m", "A", "Kf", "A", "m"))
    assert schedule.turns == (Turn(0, 2, 4), Turn(1, 1, 1))
    assert schedule.timed
    assert schedule.in_words == ("times of samples", "2 turns of kswapd and kcompactd")


def test_a_turn_in_which_unused_pages_are_released_ends_the_run() -> None:
    """However many they are."""
    assert schedule_of(stream("A", "KI", "Kf", "KR", "A", "Kf", "A")).turns == (Turn(0, 1, FOR_EVER), Turn(0, 2, 1))


def test_kswapds_turn_is_told_by_a_lowered_boost() -> None:
    """It has nothing to be counted."""
    assert schedule_of(stream("A", "m", "W", "KI", "A")).turns == (Turn(1, 0, None), Turn(1, 0, 1))


def test_what_a_removal_takes_counts_after_it() -> None:
    """The table of a split, and what a fault takes besides."""
    assert schedule_of(stream("A", "m", "A", "S", "A", "KI", "A")).turns == (Turn(1, 2, 1),)


def test_a_run_that_ends_ends_the_turn() -> None:
    """Another one is another turn, also if nobody does anything in between; so is kswapd's."""
    again = schedule_of(stream("A", "KI", "KR", "KR", "KI", "KI", "A")).turns
    assert again == (Turn(0, 1, FOR_EVER), Turn(0, 1, 2))
    woken = schedule_of(stream("A", "KI", "KR", "W", "KI", "KI", "A")).turns
    assert woken == (Turn(0, 1, FOR_EVER), Turn(0, 1, None), Turn(0, 1, 2))


def test_a_stream_may_begin_with_kcompactd() -> None:
    """Nothing was before."""
    recording = stream("KI", "Kf", "A", "m")
    events = recording.events
    columns: dict[str, Any] = {name: value[1:] for name, value in vars(events).items() if name != "sites"}
    assert schedule_of(replace(recording, events=replace(events, **columns))).turns == (Turn(0, 0, 2),)


def test_who_runs_in_between_without_being_a_task_does_not_end_a_turn() -> None:
    """Pages that callbacks give back count as others' requests, and the turn goes on."""
    recording = stream("A", "KI", "f", "KI", "A", "m")
    pids = recording.events.pid.copy()
    pids[3] = 10
    recording = replace(recording, events=replace(recording.events, pid=pids))
    assert schedule_of(recording).turns == (Turn(0, 1, 2),)


def test_without_kcompactd_there_are_no_turns() -> None:
    """Boosts are lowered all the same, but then nothing comes of it."""
    assert schedule_of(stream("A", "W", "A")).turns == ()
    assert OWN.in_words == ()


@pytest.mark.parametrize("name", names("allocator"))
def test_turns_of_the_recordings_are_in_order(name: str) -> None:
    """And what kcompactd did is in them, but for the turns in which it came to the end of a run."""
    recording = read("allocator", name)
    assert isinstance(recording, AllocatorRecording)
    schedule = schedule_of(recording)
    if recording.machine.cpus > 1:
        assert not schedule.turns
        assert not schedule.timed
        return
    assert all(one.place <= other.place for one, other in pairwise(schedule.turns))
    assert bool(schedule.turns) == ("steal" in name)
    counted = sum(turn.work for turn in schedule.turns if turn.work is not None and turn.work < FOR_EVER)
    events = recording.events
    own = np.isin(events.pid, events.pid[events.op == ord("I")]) & (events.context <= 0)
    done = np.flatnonzero(own & np.isin(events.op, list(b"fID")))
    # What is not counted belongs to turns that end a run, of which each releases what was not needed.
    released = [index for index in done.tolist() if "release_freepages" in events.sites[events.site[index]].stack]
    ended = sum(turn.work == FOR_EVER for turn in schedule.turns)
    if "steal" in name:
        assert counted + len(released) <= len(done)
        assert 0 < ended <= len(released)


def test_every_task_of_a_fork_has_a_cpu() -> None:
    """As many parents' as children's, on both CPUs."""
    recording = read("allocator", "c_page_4g_512_2cpu")
    assert isinstance(recording, AllocatorRecording)
    placement = schedule_of(recording).placement
    assert placement is not None
    assert len(placement.children) == len(placement.parents) == len(recording.secret_pfns)
    assert set(placement.children) == set(placement.parents) == {0, 1}
    assert schedule_of(recording).in_words == (f"CPUs of {len(recording.secret_pfns)} tasks",)


def test_what_kernel_threads_fork_is_no_fork_of_the_program() -> None:
    """Their stacks are taken in the same way."""
    recording = read("allocator", "c_page_4g_512_2cpu")
    assert isinstance(recording, AllocatorRecording)
    pids, events = recording.events.pid.copy(), recording.events
    pids[np.flatnonzero(events.op == ord("K"))[4:8]] = 2
    whole = schedule_of(recording).placement
    part = schedule_of(replace(recording, events=replace(events, pid=pids))).placement
    assert whole is not None
    assert part is not None
    assert part.parents == whole.parents[:1] + whole.parents[2:]
    assert part.children == whole.children
