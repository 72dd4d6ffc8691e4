"""Putting a recorded state into the model's allocator and direct map, and reading the model's state back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.host.recording_machine import Machine
from models.host.recording_state import DirectMapState, State
from models.kernel.direct_map import DirectMap
from models.kernel.pages.layout import (
    FREE,
    MAX_ORDER,
    MOVABLE,
    NONE,
    PCP_LISTS,
    PER_CPU,
    TYPES,
    Store,
)  # fmt: skip
from models.kernel.pages.lists import add_tail, buddy_list, per_cpu_list

__all__ = ["list_pfns", "restore", "restore_direct_map"]

NO_MEMORY = 255


def restore(machine: Machine, state: State) -> Store:
    """Build the allocator in a recorded state."""
    end_pfn = max(zone.end_pfn for zone in machine.zones)
    store = Store(
        end_pfn,
        len(machine.zones),
        machine.cpus,
        1,
        machine.pageblock_order,
        huge_lists=machine.pcp_high_order_thp,
    )
    store.config[0]["watermark_boost_factor"] = 15000
    for zone in machine.zones:
        recorded = state.zones[zone.index]
        record = store.zones[zone.index]
        record["kind"], record["start_pfn"], record["end_pfn"] = zone.index, zone.start_pfn, zone.end_pfn
        record["managed"] = zone.managed
        record["wmark"] = (zone.wmark_min, zone.wmark_low, zone.wmark_high)
        record["lowmem_reserve"][: len(zone.lowmem_reserve)] = zone.lowmem_reserve
        record["free_pages"], record["boost"] = recorded.nr_free_pages, recorded.watermark_boost
        record["reserved_highatomic"] = recorded.nr_reserved_highatomic
        record["boosted"], record["reclaim_active"] = recorded.flags & 1, recorded.flags >> 1 & 1
        blocks = state.pageblocks[zone.index]
        first = blocks.first_pfn >> machine.pageblock_order
        known = blocks.types != NO_MEMORY
        store.block_types[first : first + len(blocks.types)][known] = blocks.types[known] ^ MOVABLE
    # Zonelist of the only node: highest zone first.
    store.zonelists[0, : len(machine.zones)] = sorted((zone.index for zone in machine.zones), reverse=True)
    _restore_lists(store, state)
    store.touched[:] = 1
    return store


def _restore_lists(store: Store, state: State) -> None:
    page = store.pages
    for (zone, order, migratetype), pfns in state.free_lists.items():
        _fill(store, int(buddy_list(zone, order, migratetype)), pfns)
        page["state"][pfns], page["order"][pfns], page["migratetype"][pfns] = FREE, order, migratetype
    for (zone, cpu), recorded in state.pcp.items():
        local = store.per_cpu[zone, cpu]
        local["count"], local["high"], local["batch"] = recorded.count, recorded.high, recorded.batch
        local["free_factor"], local["stat_threshold"] = recorded.free_factor, recorded.stat_threshold
        local["free_pages_diff"] = recorded.vm_stat_diff
        for listed in recorded.lists.values():
            _fill(store, int(per_cpu_list(store.handle, zone, cpu, listed.index)), listed.pfns)
            page["state"][listed.pfns], page["order"][listed.pfns] = PER_CPU, listed.order
            page["migratetype"][listed.pfns] = listed.remembered_types


def _fill(store: Store, index: int, pfns: NDArray[np.int64]) -> None:
    for pfn in pfns.tolist():
        add_tail(store.handle, index, pfn)


def restore_direct_map(machine: Machine, state: DirectMapState) -> DirectMap:
    """Build the direct map with a recorded tiling, and with the tables that the recording knows."""
    tiles = [(int(start), int(count), int(level)) for start, count, level, *_ in state.runs if level > 0]
    return DirectMap(max(zone.end_pfn for zone in machine.zones), _joined(tiles))


def _joined(tiles: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Join neighbouring runs of one level, which the recording splits by other attributes."""
    joined: list[tuple[int, int, int]] = []
    for start, count, level in tiles:
        if joined and joined[-1][2] == level and joined[-1][0] + joined[-1][1] == start:
            joined[-1] = (joined[-1][0], joined[-1][1] + count, level)
        else:
            joined.append((start, count, level))
    return joined


def list_pfns(store: Store, index: int) -> NDArray[np.int64]:
    """First frames of the blocks of a list, head first."""
    page = store.pages
    pfns: list[int] = []
    pfn = int(store.lists[index]["head"])
    while pfn != NONE:
        pfns.extend(pfn + (k << (MAX_ORDER - 1)) for k in range(int(page["owner"][pfn]) + 1))
        pfn = int(page["next"][pfn])
    return np.array(pfns, np.int64)


def differences(store: Store, machine: Machine, expected: State) -> Mapping[str, tuple[Any, Any]]:
    """Where the model's state differs from a recorded one: place -> (model, recording)."""
    found: dict[str, tuple[Any, Any]] = {}

    def compare(place: str, model: Any, recorded: Any) -> None:
        if not np.array_equal(model, recorded):
            found[place] = (model, recorded)

    empty = np.zeros(0, np.int64)
    for zone in machine.zones:
        name, index = zone.name, zone.index
        for order in range(MAX_ORDER):
            for migratetype in range(TYPES):
                pfns = list_pfns(store, int(buddy_list(index, order, migratetype)))
                compare(
                    f"free list {name}, order {order}, type {migratetype}",
                    pfns,
                    expected.free_lists.get((index, order, migratetype), empty),
                )
        for cpu in range(machine.cpus):
            recorded, local = expected.pcp[index, cpu], store.per_cpu[index, cpu]
            place = f"per-CPU lists {name}, CPU {cpu}"
            for field, value in (
                ("count", recorded.count), ("high", recorded.high), ("batch", recorded.batch),
                ("free_factor", recorded.free_factor), ("free_pages_diff", recorded.vm_stat_diff),
            ):  # fmt: skip
                compare(f"{place}, {field}", int(local[field]), value)
            for k in range(PCP_LISTS):
                pfns = list_pfns(store, int(per_cpu_list(store.handle, index, cpu, k)))
                listed = recorded.lists.get(k)
                compare(f"{place}, list {k}", pfns, empty if listed is None else listed.pfns)
                if listed is not None:
                    compare(
                        f"{place}, list {k}, remembered types",
                        store.pages["migratetype"][pfns],
                        listed.remembered_types,
                    )
        record, state = store.zones[index], expected.zones[index]
        compare(f"zone {name}, free pages", int(record["free_pages"]), state.nr_free_pages)
        compare(f"zone {name}, watermark boost", int(record["boost"]), state.watermark_boost)
        compare(
            f"zone {name}, high-atomic reserve",
            int(record["reserved_highatomic"]),
            state.nr_reserved_highatomic,
        )
        blocks = expected.pageblocks[index]
        known = blocks.types != NO_MEMORY
        first = blocks.first_pfn >> machine.pageblock_order
        model_types = store.block_types[first : first + len(blocks.types)] ^ MOVABLE
        compare(f"zone {name}, pageblock types", model_types[known], blocks.types[known])
    return found
