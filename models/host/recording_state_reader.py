"""Reads a recorded state whole, and refuses one whose lists, counts or direct-map entries cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from models.host.recording_fields import MIGRATETYPES, NO_MEMORY, frozen
from models.host.recording_list_reader import ListReader
from models.host.recording_machine import Machine
from models.host.recording_raw_state import RawDirectMap, RawPageblocks, RawState, RawZoneState
from models.host.recording_state import DirectMapState, Pageblocks, State, ZoneState
from models.host.recording_state_checks import check_counts, check_merged, check_overlap
from models.host.recording_state_place import StatePlace

__all__ = ["build_state"]


def build_state(raw: RawState, name: str, machine: Machine, path: Path) -> State:
    """Return ``raw`` unrolled and checked.

    Args:
        raw: The state as written.
        name: ``initial`` or ``final``, for messages.
        machine: The machine, already checked.
        path: The recording, for messages.

    Raises:
        RecordingError: A list, count or direct-map entry is impossible.
    """
    place = StatePlace(name, machine, path)
    lists = ListReader(raw, place)
    state = State(
        lists.free_lists(),
        lists.pcps(),
        _pageblocks(raw.pageblocks, place),
        _zone_states(raw.zone_state, place),
        _direct_map(raw.direct_map, place),
    )
    check_overlap(state, lists, place)
    check_merged(state, place)
    check_counts(state, raw.zone_state, place)
    return state


def _pageblocks(raw_blocks: list[RawPageblocks], place: StatePlace) -> dict[int, Pageblocks]:
    order = place.machine.pageblock_order
    found: dict[int, Pageblocks] = {}
    for at, raw in enumerate(raw_blocks):
        field = f"pageblocks[{at}]"
        zone = place.zone(raw.zone, f"{field}.zone")
        first = zone.start_pfn >> order << order
        count = (zone.end_pfn - first + (1 << order) - 1) >> order
        runs = np.array(raw.runs, dtype=np.int64).reshape(-1, 2)
        bad = np.flatnonzero((runs[:, 0] >= len(MIGRATETYPES)) & (runs[:, 0] != NO_MEMORY))
        if len(bad):
            raise place.fail(f"{field}.runs[{bad[0]}]", f"unknown pageblock type {runs[bad[0], 0]}")
        if zone.index in found or raw.first_pfn != first or int(runs[:, 1].sum()) != count:
            told = f"{int(runs[:, 1].sum())} blocks from pfn {raw.first_pfn}"
            raise place.fail(field, f"{told}; zone {zone.name} has {count} from {first}, once")
        types = np.repeat(runs[:, 0], runs[:, 1]).astype(np.uint8)
        frozen(types)
        found[zone.index] = Pageblocks(zone.index, first, types)
    _require_all_zones(found, "pageblocks", place)
    return found


def _zone_states(raw_states: list[RawZoneState], place: StatePlace) -> dict[int, ZoneState]:
    states: dict[int, ZoneState] = {}
    for at, raw in enumerate(raw_states):
        zone = place.zone(raw.zone, f"zone_state[{at}].zone")
        if zone.index in states:
            raise place.fail(f"zone_state[{at}]", f"zone {zone.name} was listed before")
        states[zone.index] = ZoneState(
            zone.index, raw.nr_free_pages, raw.watermark_boost, raw.nr_reserved_highatomic, raw.flags
        )
    _require_all_zones(states, "zone_state", place)
    return states


def _require_all_zones(found: Mapping[int, object], field: str, place: StatePlace) -> None:
    for zone in place.machine.zones:
        if zone.index not in found:
            raise place.fail(field, f"zone {zone.name} is missing")


def _direct_map(raw: RawDirectMap, place: StatePlace) -> DirectMapState:
    runs = np.array(raw.runs, dtype=np.int64).reshape(-1, 5)
    tables = np.array(raw.tables, dtype=np.int64).reshape(-1, 3)
    end = 0
    for at, (start, pages, level, _, _) in enumerate(runs.tolist()):
        size = {0: 1, 1: 1, 2: 1 << 9, 3: 1 << 18}[level]
        field = f"direct_map.runs[{at}]"
        if start < end:
            raise place.fail(field, f"pfn {start} was covered before (up to {end - 1})")
        if start > end:
            raise place.fail(field, f"nothing says what is at pfn {end} to {start - 1}")
        if pages < 1 or start % size or pages % size:
            raise place.fail(field, f"{pages} pages from pfn {start} are no whole entries of level {level}")
        end = start + pages
    if end < place.machine.end_pfn:
        raise place.fail("direct_map.runs", f"ends at pfn {end}, the last zone at {place.machine.end_pfn}")
    seen: set[tuple[int, int]] = set()
    for at, (first, level, table) in enumerate(tables.tolist()):
        if first % (1 << 9 * (level - 1)) or (first, level) in seen or first >= end or table >= end:
            raise place.fail(f"direct_map.tables[{at}]", f"impossible or repeated: {[first, level, table]}")
        seen.add((first, level))
    frozen(runs)
    frozen(tables)
    return DirectMapState(raw.counters, runs, tables)
