"""Streams and states made by tests: a recording's machine with other lists, and other events after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.host.recording import AllocatorRecording, read_recording
from models.host.recording_events import Events
from models.host.recording_machine import Machine
from models.host.recording_state import Pageblocks, Pcp, PcpList, State, ZoneState
from tests.models.host.edited_recordings import ALLOCATOR

UNMOVABLE, MOVABLE, RECLAIMABLE, HIGHATOMIC = range(4)
FAST, NO_FRAGMENT = 0x801, 0x100
#: What a request gets that may neither sleep nor fail easily, in the kernel's second attempt.
ATOMIC_SLOW, GFP_ATOMIC = 0x870, 0xA20


@dataclass(frozen=True)
class Event:
    """One event; what it does not say is zero."""

    op: str
    pfn: int = 0
    order: int = 0
    type: int = UNMOVABLE
    aux: tuple[int, ...] = ()
    zone: int = 0
    cpu: int = 0
    flags: int = FAST
    gfp: int = 0xCC0


def machine_of(name: str) -> AllocatorRecording:
    """A recording whose machine a test wants; lists and events are to be replaced."""
    recording = read_recording(ALLOCATOR / f"{name}.json.gz")
    assert isinstance(recording, AllocatorRecording)
    return recording


def small(name: str = "b_pool_1g_compact", *, cpus: int = 1) -> AllocatorRecording:
    """A recorded machine without watermarks, with as many CPUs as a test wants and no free memory."""
    recording = machine_of(name)
    zones = [
        zone.model_copy(update={"wmark_min": 0, "wmark_low": 0, "wmark_high": 0, "lowmem_reserve": [0, 0, 0, 0]})
        for zone in recording.machine.zones
    ]
    machine = recording.machine.model_copy(update={"cpus": cpus, "zones": zones})
    return replace(recording, machine=machine, initial=_empty(recording.initial, machine))


def _empty(state: State, machine: Machine) -> State:
    pcp = {
        (zone.index, cpu): replace(state.pcp[zone.index, 0], cpu=cpu, count=0, vm_stat_diff=0, free_factor=0, lists={})
        for zone in machine.zones
        for cpu in range(machine.cpus)
    }
    zones = {zone.index: ZoneState(zone.index, 0, 0, 0, 0) for zone in machine.zones}
    return replace(state, free_lists={}, pcp=pcp, zones=zones)


def with_free(
    recording: AllocatorRecording, lists: Mapping[tuple[int, int, int], list[int]], **zone_state: int
) -> AllocatorRecording:
    """Put blocks on free lists, by (zone, order, type) head first; ``zone_state`` changes what every zone counts."""
    state = recording.initial
    zones = {}
    for index, zone in state.zones.items():
        free = sum(len(pfns) << order for (z, order, _), pfns in lists.items() if z == index)
        zones[index] = replace(zone, nr_free_pages=free, **zone_state)
    arrays = {key: np.array(pfns, np.int64) for key, pfns in lists.items()}
    return replace(recording, initial=replace(state, free_lists=arrays, zones=zones))


def with_types(recording: AllocatorRecording, types: Mapping[int, int]) -> AllocatorRecording:
    """Give pageblocks a type, by a page of each; all others are movable."""
    shift = recording.machine.pageblock_order
    blocks: dict[int, Pageblocks] = {}
    for index, recorded in recording.initial.pageblocks.items():
        changed = np.where(recorded.types <= HIGHATOMIC, MOVABLE, recorded.types).astype(np.uint8)
        for pfn, migratetype in types.items():
            at = (pfn - recorded.first_pfn) >> shift
            if 0 <= at < len(changed):
                changed[at] = migratetype
        blocks[index] = replace(recorded, types=changed)
    return replace(recording, initial=replace(recording.initial, pageblocks=blocks))


def with_listed(
    recording: AllocatorRecording, cpu: int, index: int, pfns: list[int], *, remembered: int, zone: int = 0
) -> AllocatorRecording:
    """Put blocks on a CPU's list, head first."""
    order = index // 3 if index < 12 else 9
    listed = PcpList(index, order, index % 3, np.array(pfns, np.int64), np.full(len(pfns), remembered))
    pcp: dict[tuple[int, int], Pcp] = dict(recording.initial.pcp)
    old = pcp[zone, cpu]
    count = old.count + (len(pfns) << order)
    pcp[zone, cpu] = replace(old, count=count, lists={**old.lists, index: listed})
    return replace(recording, initial=replace(recording.initial, pcp=pcp))


def with_events(recording: AllocatorRecording, events: list[Event]) -> AllocatorRecording:
    """Let the events be all that the stream holds."""

    def column(values: list[int], kind: str) -> Any:
        return np.array(values, np.dtype(kind))

    aux = np.full((len(events), 4), -1, np.int64)
    for at, event in enumerate(events):
        aux[at, : len(event.aux)] = event.aux
    stream = Events(
        op=np.frombuffer("".join(event.op for event in events).encode(), np.uint8),
        cpu=column([event.cpu for event in events], "u1"),
        zone=column([event.zone for event in events], "i1"),
        order=column([event.order for event in events], "i1"),
        type=column([event.type for event in events], "i1"),
        pfn=column([event.pfn for event in events], "i8"),
        pid=column([1] * len(events), "i4"),
        gfp=column([event.gfp for event in events], "i4"),
        alloc_flags=column([event.flags for event in events], "i4"),
        context=column([0] * len(events), "i1"),
        site=column([0] * len(events), "i4"),
        aux=aux,
        sites=recording.events.sites,
    )
    return replace(recording, events=stream)
