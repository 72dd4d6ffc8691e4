"""What must hold between the parts of a recorded state: no page twice, no buddies unmerged, counters that fit."""

from __future__ import annotations

import numpy as np

from models.host.recording_list_reader import ListReader
from models.host.recording_raw_state import RawZoneState
from models.host.recording_state import State
from models.host.recording_state_place import StatePlace

__all__ = ["check_counts", "check_merged", "check_overlap"]


def check_overlap(state: State, lists: ListReader, place: StatePlace) -> None:
    """Refuse a page that is on two lists, or twice on one.

    Raises:
        RecordingError: There is one.
    """
    firsts, orders = state.blocks()
    by_pfn = np.argsort(firsts, kind="stable")
    ends = (firsts + (1 << orders))[by_pfn]
    bad = np.flatnonzero(ends[:-1] > firsts[by_pfn][1:])
    if len(bad):
        one, other = sorted((int(by_pfn[bad[0]]), int(by_pfn[bad[0] + 1])))
        pfn = max(firsts[one], firsts[other])
        raise place.fail(lists.where(other), f"pfn {pfn} is already in {place.name}.{lists.where(one)}")


def check_merged(state: State, place: StatePlace) -> None:
    """Refuse two free buddies inside one pageblock: the kernel merges them when the second is freed.

    Raises:
        RecordingError: There are.
    """
    for order in range(place.machine.pageblock_order):
        for zone in place.machine.zones:
            held = [pfns for (z, o, _), pfns in state.free_lists.items() if (z, o) == (zone.index, order)]
            pfns = np.sort(np.concatenate(held)) if held else np.zeros(0, np.int64)
            bad = np.flatnonzero((pfns[:-1] ^ (1 << order)) == pfns[1:])
            if len(bad):
                pair = pfns[bad[0] : bad[0] + 2].tolist()
                raise place.fail("free_lists", f"buddies {pair} of order {order} are both free and not merged")


def check_counts(state: State, raw_states: list[RawZoneState], place: StatePlace) -> None:
    """Refuse a zone counter that is not what its free lists hold.

    Raises:
        RecordingError: There is one.
    """
    for zone in place.machine.zones:
        lists = state.free_lists.items()
        listed = sum(len(pfns) << order for (z, order, _), pfns in lists if z == zone.index)
        diff = sum(pcp.vm_stat_diff for (z, _), pcp in state.pcp.items() if z == zone.index)
        counted = state.zones[zone.index].nr_free_pages
        if counted + diff != listed:
            at = [raw.zone for raw in raw_states].index(zone.name)
            raise place.fail(
                f"zone_state[{at}].nr_free_pages",
                f"{counted} and the CPUs' {diff}, but the free lists of {zone.name} hold {listed}",
            )
