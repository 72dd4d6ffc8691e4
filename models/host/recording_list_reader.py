"""Unrolls the lists of a recorded state, free lists and per-CPU lists, and refuses what cannot be on them."""

from __future__ import annotations

import numpy as np

from models.host.recording_fields import MIGRATETYPES, frozen
from models.host.recording_machine import Zone
from models.host.recording_raw_state import RawPcp, RawState
from models.host.recording_state import ANY_TYPE, Int64s, Pcp, PcpList
from models.host.recording_state_place import StatePlace

__all__ = ["ListReader"]

_FIRST_THP_LIST = 12
_THP_NAMES = {12: ("any",), 13: ("Movable", "any")}


class ListReader:
    """Unrolls free lists, then per-CPU lists, and remembers which field told of which block."""

    def __init__(self, raw: RawState, place: StatePlace) -> None:
        self.raw, self.place = raw, place
        # Field and length of every list, in the order of State.blocks().
        self.fields: list[tuple[str, int]] = []

    def free_lists(self) -> dict[tuple[int, int, int], Int64s]:
        """Return page frames by zone, order and type.

        Raises:
            RecordingError: A list is there twice, or holds what its zone does not.
        """
        lists: dict[tuple[int, int, int], Int64s] = {}
        for at, raw in enumerate(self.raw.free_lists):
            field = f"free_lists[{at}]"
            zone = self.place.zone(raw.zone, f"{field}.zone")
            key = (zone.index, raw.order, MIGRATETYPES.index(raw.type))
            if key in lists:
                raise self.place.fail(field, f"zone {raw.zone}, order {raw.order}, {raw.type} was listed before")
            lists[key] = self._unroll(raw.pfns, zone, raw.order, f"{field}.pfns")
            self.fields.append((f"{field}.pfns", len(lists[key])))
        return lists

    def pcps(self) -> dict[tuple[int, int], Pcp]:
        """Return per-CPU lists by zone and CPU.

        Raises:
            RecordingError: Lists are there twice, are missing, or hold what they cannot.
        """
        pcps: dict[tuple[int, int], Pcp] = {}
        for at, raw in enumerate(self.raw.pcp):
            field = f"pcp[{at}]"
            zone = self.place.zone(raw.zone, f"{field}.zone")
            if raw.cpu >= self.place.machine.cpus:
                raise self.place.fail(f"{field}.cpu", f"CPU {raw.cpu} of a machine with {self.place.machine.cpus}")
            if (zone.index, raw.cpu) in pcps:
                raise self.place.fail(field, f"zone {raw.zone}, CPU {raw.cpu} was listed before")
            pcps[zone.index, raw.cpu] = self._pcp(raw, zone, field)
        for zone in self.place.machine.zones:
            for cpu in range(self.place.machine.cpus):
                if (zone.index, cpu) not in pcps:
                    raise self.place.fail("pcp", f"zone {zone.name}, CPU {cpu} is missing")
        return pcps

    def where(self, position: int) -> str:
        """Return the field that holds block number ``position`` of `State.blocks`."""
        for field, length in self.fields:
            if position < length:
                return f"{field} (position {position})"
            position -= length
        raise IndexError(position)

    def _pcp(self, raw: RawPcp, zone: Zone, field: str) -> Pcp:
        overrides = dict(raw.type_overrides)
        lists: dict[int, PcpList] = {}
        for at, held in enumerate(raw.lists):
            place = f"{field}.lists[{at}]"
            order = held.index // 3 if held.index < _FIRST_THP_LIST else 9
            names = (MIGRATETYPES[held.index % 3],) if held.index < _FIRST_THP_LIST else _THP_NAMES[held.index]
            if held.order != order or held.type not in names or held.index >= raw.nr_lists or held.index in lists:
                raise self.place.fail(
                    place, f"list {held.index} of order {held.order} and type {held.type} cannot be here"
                )
            pfns = self._unroll(held.pfns, zone, order, f"{place}.pfns")
            migratetype = _list_type(held.index)
            remembered = np.array([overrides.pop(pfn, migratetype) for pfn in pfns.tolist()], dtype=np.int64)
            if (remembered == ANY_TYPE).any():
                pfn = pfns[np.argmax(remembered == ANY_TYPE)]
                raise self.place.fail(f"{field}.type_overrides", f"no type for pfn {pfn} of list {held.index}")
            frozen(remembered)
            lists[held.index] = PcpList(held.index, order, migratetype, pfns, remembered)
            self.fields.append((f"{place}.pfns", len(pfns)))
        if overrides:
            raise self.place.fail(f"{field}.type_overrides", f"pfn {next(iter(overrides))} is on none of these lists")
        pages = sum(len(held.pfns) << held.order for held in lists.values())
        if pages != raw.count:
            raise self.place.fail(f"{field}.count", f"{raw.count} pages, but the lists hold {pages}")
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

    def _unroll(self, runs: list[int], zone: Zone, order: int, field: str) -> Int64s:
        """Return the page frames of a list coded as runs of first, count, step."""
        if len(runs) % 3:
            raise self.place.fail(field, f"{len(runs)} numbers are no runs of first, count, step")
        try:
            table = np.array(runs, dtype=np.int64).reshape(-1, 3)
        except OverflowError:
            raise self.place.fail(field, "a number does not fit 64 bits") from None
        first, count, step = table.T
        span = zone.spanned
        bad = np.flatnonzero(
            (count < 1) | (count > span) | (np.abs(step) > span) | (first < zone.start_pfn) | (first >= zone.end_pfn)
        )
        if len(bad):
            raise self.place.fail(
                field,
                f"run {bad[0]} is not in zone {zone.name}: {table[bad[0]].tolist()} (first, count, step)",
            )
        last = first + (count - 1) * step
        size = 1 << order
        low, high = np.minimum(first, last), np.maximum(first, last) + size
        bad = np.flatnonzero((low < zone.start_pfn) | (high > zone.end_pfn))
        if len(bad):
            raise self.place.fail(
                field,
                f"run {bad[0]} from pfn {first[bad[0]]} to {last[bad[0]]} leaves zone {zone.name} "
                f"({zone.start_pfn} to {zone.end_pfn - 1})",
            )
        total = int(count.sum())
        if total << order > zone.spanned:
            raise self.place.fail(field, f"{total} blocks of order {order} are more than zone {zone.name} spans")
        within = np.arange(total) - np.repeat(np.cumsum(count) - count, count)
        pfns = np.repeat(first, count) + within * np.repeat(step, count)
        bad = np.flatnonzero(pfns & (size - 1))
        if len(bad):
            raise self.place.fail(field, f"pfn {pfns[bad[0]]} at position {bad[0]} is not aligned to order {order}")
        frozen(pfns)
        return pfns


def _list_type(index: int) -> int:
    """Return the migratetype of per-CPU list ``index``."""
    if index < _FIRST_THP_LIST:
        return index % 3
    return ANY_TYPE if index == _FIRST_THP_LIST else MIGRATETYPES.index("Movable")
