"""Unrolls a recorded state and refuses one whose lists, counts or direct-map entries cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from models.host.recording_fields import MIGRATETYPES, NO_MEMORY, frozen
from models.host.recording_machine import Machine, Zone
from models.host.recording_raw_state import RawDirectMap, RawPcp, RawState
from models.host.recording_state import (
    ANY_TYPE,
    DirectMapState,
    Int64s,
    Pageblocks,
    Pcp,
    PcpList,
    State,
    ZoneState,
)
from models.host.recording_text import RecordingError

__all__ = ["build_state"]

_FIRST_THP_LIST = 12
_THP_NAMES = {12: ("any",), 13: ("Movable", "any")}


def _list_type(index: int) -> int:
    """Return the migratetype of per-CPU list ``index``."""
    if index < _FIRST_THP_LIST:
        return index % 3
    return ANY_TYPE if index == _FIRST_THP_LIST else MIGRATETYPES.index("Movable")


class _StateReader:
    """Builds one `State` and checks it on the way; ``name`` is ``initial`` or ``final``."""

    def __init__(self, raw: RawState, name: str, machine: Machine, path: Path) -> None:
        self.raw, self.name, self.machine, self.path = raw, name, machine, path
        self.zones = {zone.name: zone for zone in machine.zones}
        # Field and length of every list, in the order of State.blocks().
        self.places: list[tuple[str, int]] = []

    def fail(self, field: str, message: str) -> RecordingError:
        return RecordingError(message, file=self.path, field=f"{self.name}.{field}")

    def zone(self, name: str, field: str) -> Zone:
        if name not in self.zones:
            raise self.fail(field, f"no zone {name!r} in this machine, which has {', '.join(self.zones)}")
        return self.zones[name]

    def build(self) -> State:
        state = State(
            self.free_lists(), self.pcps(), self.pageblocks(), self.zone_states(), self.direct_map()
        )
        self.check_overlap(state)
        self.check_merged(state)
        self.check_counts(state)
        return state

    def unroll(self, runs: list[int], zone: Zone, order: int, field: str) -> Int64s:
        """Return the page frames of a list coded as runs of first, count, step."""
        if len(runs) % 3:
            raise self.fail(field, f"{len(runs)} numbers are no runs of first, count, step")
        try:
            table = np.array(runs, dtype=np.int64).reshape(-1, 3)
        except OverflowError:
            raise self.fail(field, "a number does not fit 64 bits") from None
        first, count, step = table.T
        span = zone.spanned
        bad = np.flatnonzero(
            (count < 1)
            | (count > span)
            | (np.abs(step) > span)
            | (first < zone.start_pfn)
            | (first >= zone.end_pfn)
        )
        if len(bad):
            raise self.fail(
                field,
                f"run {bad[0]} is not in zone {zone.name}: {table[bad[0]].tolist()} (first, count, step)",
            )
        last = first + (count - 1) * step
        size = 1 << order
        low, high = np.minimum(first, last), np.maximum(first, last) + size
        bad = np.flatnonzero((low < zone.start_pfn) | (high > zone.end_pfn))
        if len(bad):
            raise self.fail(
                field,
                f"run {bad[0]} from pfn {first[bad[0]]} to {last[bad[0]]} leaves zone {zone.name} "
                f"({zone.start_pfn} to {zone.end_pfn - 1})",
            )
        total = int(count.sum())
        if total << order > zone.spanned:
            raise self.fail(field, f"{total} blocks of order {order} are more than zone {zone.name} spans")
        within = np.arange(total) - np.repeat(np.cumsum(count) - count, count)
        pfns = np.repeat(first, count) + within * np.repeat(step, count)
        bad = np.flatnonzero(pfns & (size - 1))
        if len(bad):
            raise self.fail(field, f"pfn {pfns[bad[0]]} at position {bad[0]} is not aligned to order {order}")
        frozen(pfns)
        return pfns

    def free_lists(self) -> dict[tuple[int, int, int], Int64s]:
        lists: dict[tuple[int, int, int], Int64s] = {}
        for at, raw in enumerate(self.raw.free_lists):
            field = f"free_lists[{at}]"
            zone = self.zone(raw.zone, f"{field}.zone")
            key = (zone.index, raw.order, MIGRATETYPES.index(raw.type))
            if key in lists:
                raise self.fail(field, f"zone {raw.zone}, order {raw.order}, {raw.type} was listed before")
            lists[key] = self.unroll(raw.pfns, zone, raw.order, f"{field}.pfns")
            self.places.append((f"{field}.pfns", len(lists[key])))
        return lists

    def pcps(self) -> dict[tuple[int, int], Pcp]:
        pcps: dict[tuple[int, int], Pcp] = {}
        for at, raw in enumerate(self.raw.pcp):
            field = f"pcp[{at}]"
            zone = self.zone(raw.zone, f"{field}.zone")
            if raw.cpu >= self.machine.cpus:
                raise self.fail(f"{field}.cpu", f"CPU {raw.cpu} of a machine with {self.machine.cpus}")
            if (zone.index, raw.cpu) in pcps:
                raise self.fail(field, f"zone {raw.zone}, CPU {raw.cpu} was listed before")
            pcps[zone.index, raw.cpu] = self.pcp(raw, zone, field)
        for zone in self.machine.zones:
            for cpu in range(self.machine.cpus):
                if (zone.index, cpu) not in pcps:
                    raise self.fail("pcp", f"zone {zone.name}, CPU {cpu} is missing")
        return pcps

    def pcp(self, raw: RawPcp, zone: Zone, field: str) -> Pcp:
        overrides = dict(raw.type_overrides)
        lists: dict[int, PcpList] = {}
        for at, held in enumerate(raw.lists):
            place = f"{field}.lists[{at}]"
            order = held.index // 3 if held.index < _FIRST_THP_LIST else 9
            names = (
                (MIGRATETYPES[held.index % 3],) if held.index < _FIRST_THP_LIST else _THP_NAMES[held.index]
            )
            if (
                held.order != order
                or held.type not in names
                or held.index >= raw.nr_lists
                or held.index in lists
            ):
                raise self.fail(
                    place, f"list {held.index} of order {held.order} and type {held.type} cannot be here"
                )
            pfns = self.unroll(held.pfns, zone, order, f"{place}.pfns")
            migratetype = _list_type(held.index)
            remembered = np.array([overrides.pop(pfn, migratetype) for pfn in pfns.tolist()], dtype=np.int64)
            if (remembered == ANY_TYPE).any():
                pfn = pfns[np.argmax(remembered == ANY_TYPE)]
                raise self.fail(f"{field}.type_overrides", f"no type for pfn {pfn} of list {held.index}")
            frozen(remembered)
            lists[held.index] = PcpList(held.index, order, migratetype, pfns, remembered)
            self.places.append((f"{place}.pfns", len(pfns)))
        if overrides:
            raise self.fail(
                f"{field}.type_overrides", f"pfn {next(iter(overrides))} is on none of these lists"
            )
        pages = sum(len(held.pfns) << held.order for held in lists.values())
        if pages != raw.count:
            raise self.fail(f"{field}.count", f"{raw.count} pages, but the lists hold {pages}")
        table = np.array(raw.type_overrides, dtype=np.int64).reshape(-1, 2)
        frozen(table)
        return Pcp(
            zone.index,
            raw.cpu,
            raw.count,
            raw.high,
            raw.batch,
            raw.free_factor,
            raw.nr_lists,
            raw.vm_stat_diff,
            raw.stat_threshold,
            lists,
            table,
        )

    def pageblocks(self) -> dict[int, Pageblocks]:
        order = self.machine.pageblock_order
        found: dict[int, Pageblocks] = {}
        for at, raw in enumerate(self.raw.pageblocks):
            field = f"pageblocks[{at}]"
            zone = self.zone(raw.zone, f"{field}.zone")
            first = zone.start_pfn >> order << order
            count = (zone.end_pfn - first + (1 << order) - 1) >> order
            runs = np.array(raw.runs, dtype=np.int64).reshape(-1, 2)
            bad = np.flatnonzero((runs[:, 0] >= len(MIGRATETYPES)) & (runs[:, 0] != NO_MEMORY))
            if len(bad):
                raise self.fail(f"{field}.runs[{bad[0]}]", f"unknown pageblock type {runs[bad[0], 0]}")
            if zone.index in found or raw.first_pfn != first or int(runs[:, 1].sum()) != count:
                told = f"{int(runs[:, 1].sum())} blocks from pfn {raw.first_pfn}"
                raise self.fail(field, f"{told}; zone {zone.name} has {count} from {first}, once")
            types = np.repeat(runs[:, 0], runs[:, 1]).astype(np.uint8)
            frozen(types)
            found[zone.index] = Pageblocks(zone.index, first, types)
        self.require_all_zones(found, "pageblocks")
        return found

    def zone_states(self) -> dict[int, ZoneState]:
        states: dict[int, ZoneState] = {}
        for at, raw in enumerate(self.raw.zone_state):
            zone = self.zone(raw.zone, f"zone_state[{at}].zone")
            if zone.index in states:
                raise self.fail(f"zone_state[{at}]", f"zone {zone.name} was listed before")
            states[zone.index] = ZoneState(
                zone.index, raw.nr_free_pages, raw.watermark_boost, raw.nr_reserved_highatomic, raw.flags
            )
        self.require_all_zones(states, "zone_state")
        return states

    def require_all_zones(self, found: Mapping[int, object], field: str) -> None:
        for zone in self.machine.zones:
            if zone.index not in found:
                raise self.fail(field, f"zone {zone.name} is missing")

    def direct_map(self) -> DirectMapState:
        raw: RawDirectMap = self.raw.direct_map
        runs = np.array(raw.runs, dtype=np.int64).reshape(-1, 5)
        tables = np.array(raw.tables, dtype=np.int64).reshape(-1, 3)
        end = 0
        for at, (start, pages, level, _, _) in enumerate(runs.tolist()):
            size = {0: 1, 1: 1, 2: 1 << 9, 3: 1 << 18}[level]
            field = f"direct_map.runs[{at}]"
            if start < end:
                raise self.fail(field, f"pfn {start} was covered before (up to {end - 1})")
            if start > end:
                raise self.fail(field, f"nothing says what is at pfn {end} to {start - 1}")
            if pages < 1 or start % size or pages % size:
                raise self.fail(
                    field, f"{pages} pages from pfn {start} are no whole entries of level {level}"
                )
            end = start + pages
        if end < self.machine.end_pfn:
            raise self.fail("direct_map.runs", f"ends at pfn {end}, the last zone at {self.machine.end_pfn}")
        seen: set[tuple[int, int]] = set()
        for at, (first, level, table) in enumerate(tables.tolist()):
            if first % (1 << 9 * (level - 1)) or (first, level) in seen or first >= end or table >= end:
                raise self.fail(
                    f"direct_map.tables[{at}]", f"impossible or repeated: {[first, level, table]}"
                )
            seen.add((first, level))
        frozen(runs)
        frozen(tables)
        return DirectMapState(raw.counters, runs, tables)

    def where(self, position: int) -> str:
        """Return the field that holds block number ``position`` of `State.blocks`."""
        for field, length in self.places:
            if position < length:
                return f"{field} (position {position})"
            position -= length
        raise IndexError(position)

    def check_overlap(self, state: State) -> None:
        """Refuse a page that is on two lists, or twice on one."""
        firsts, orders = state.blocks()
        by_pfn = np.argsort(firsts, kind="stable")
        ends = (firsts + (1 << orders))[by_pfn]
        bad = np.flatnonzero(ends[:-1] > firsts[by_pfn][1:])
        if len(bad):
            one, other = sorted((int(by_pfn[bad[0]]), int(by_pfn[bad[0] + 1])))
            pfn = max(firsts[one], firsts[other])
            raise self.fail(self.where(other), f"pfn {pfn} is already in {self.name}.{self.where(one)}")

    def check_merged(self, state: State) -> None:
        """Refuse two free buddies inside one pageblock: the kernel merges them when the second is freed."""
        for order in range(self.machine.pageblock_order):
            for zone in self.machine.zones:
                held = [pfns for (z, o, _), pfns in state.free_lists.items() if (z, o) == (zone.index, order)]
                pfns = np.sort(np.concatenate(held)) if held else np.zeros(0, np.int64)
                bad = np.flatnonzero((pfns[:-1] ^ (1 << order)) == pfns[1:])
                if len(bad):
                    pair = pfns[bad[0] : bad[0] + 2].tolist()
                    raise self.fail(
                        "free_lists", f"buddies {pair} of order {order} are both free and not merged"
                    )

    def check_counts(self, state: State) -> None:
        """Refuse a zone counter that is not what its free lists hold."""
        for zone in self.machine.zones:
            lists = state.free_lists.items()
            listed = sum(len(pfns) << order for (z, order, _), pfns in lists if z == zone.index)
            diff = sum(pcp.vm_stat_diff for (z, _), pcp in state.pcp.items() if z == zone.index)
            counted = state.zones[zone.index].nr_free_pages
            if counted + diff != listed:
                at = [raw.zone for raw in self.raw.zone_state].index(zone.name)
                raise self.fail(
                    f"zone_state[{at}].nr_free_pages",
                    f"{counted} and the CPUs' {diff}, but the free lists of {zone.name} hold {listed}",
                )


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
    return _StateReader(raw, name, machine, path).build()
