"""The kernel's state right after boot: zones and free lists filled, the direct map tiled, costs put in place."""

from collections.abc import Iterable

from models.kernel.boot_layout import BootLayout
from models.kernel.boot_profile import BootProfile
from models.kernel.direct_map import DirectMap
from models.kernel.pages.allocator import ALLOC_DEFAULT
from models.kernel.pages.buddy import free_block
from models.kernel.pages.fallback import ALLOC_NOFRAGMENT
from models.kernel.pages.layout import MAX_ORDER, MOVABLE, Store
from models.kernel.pages.lists import add_run, buddy_list
from models.kernel.watermarks import per_cpu_rules
from models.kernel.zones import Zone
from models.machine.machine import Machine

__all__ = ["boot_direct_map", "boot_pages", "zone_order"]


def boot_pages(machine: Machine, layout: BootLayout, profile: BootProfile) -> Store:
    """Build the page allocator as the boot hands it over: all managed memory free, movable, in ascending order."""
    end_pfn = max(zone.start_pfn + zone.spanned for zone in layout.zones)
    store = Store(
        end_pfn, len(layout.zones), machine.cpus, len(machine.nodes), profile.pageblock_order,
        huge_lists=profile.transparent_hugepage,
    )  # fmt: skip
    settings = store.config[0]
    settings["watermark_boost_factor"] = 15000
    settings["tuned_per_cpu"] = per_cpu_rules(profile.kernel_version)
    kinds = {zone.index for zone in layout.zones}
    settings["highest_kind"] = max(kinds)
    mixed = any(zone.name == "Normal" for zone in layout.zones) and len(kinds) > 1
    settings["alloc_flags"] = ALLOC_DEFAULT | (ALLOC_NOFRAGMENT if mixed else 0)
    for number, zone in enumerate(layout.zones):
        _set_marks(store, number, zone)
        for span in zone.free:
            _free_range(store, number, span.start, span.end)
        store.zones[number]["free_pages"] += store.per_cpu[number]["free_pages_diff"].sum()
        store.per_cpu[number]["free_pages_diff"] = 0
    for node in range(len(machine.nodes)):
        order = zone_order(layout.zones, node)
        store.zonelists[node, : len(order)] = order
    return store


def _set_marks(store: Store, number: int, zone: Zone) -> None:
    record, marks = store.zones[number], zone.marks
    record["node"], record["kind"], record["managed"] = zone.node, zone.index, zone.managed
    record["start_pfn"], record["end_pfn"] = zone.start_pfn, zone.start_pfn + zone.spanned
    record["wmark"] = tuple(marks.watermarks)
    record["lowmem_reserve"][: len(marks.lowmem_reserve)] = marks.lowmem_reserve
    local = store.per_cpu[number]
    local["high"], local["batch"] = marks.pcp.high_min, marks.pcp.batch
    local["high_min"], local["high_max"] = marks.pcp.high_min, marks.pcp.high_max
    local["stat_threshold"] = marks.stat_threshold


def _free_range(store: Store, zone: int, start: int, end: int) -> None:
    """Give a range to the buddy lists in the largest aligned blocks, each to its list's tail."""
    largest = 1 << (MAX_ORDER - 1)
    pfn = start
    while pfn < end:
        if pfn % largest == 0 and pfn + largest <= end:
            blocks = (end - pfn) // largest
            add_run(store.handle, int(buddy_list(zone, MAX_ORDER - 1, MOVABLE)), pfn, blocks, MOVABLE)
            store.zones[zone]["free_pages"] += blocks * largest
            store.config[0]["free_pages"] += blocks * largest
            pfn += blocks * largest
            continue
        order = min(MAX_ORDER - 1, (pfn & -pfn).bit_length() - 1) if pfn else MAX_ORDER - 1
        while pfn + (1 << order) > end:
            order -= 1
        free_block(store.handle, zone, 0, pfn, order, MOVABLE, True)
        pfn += 1 << order


def zone_order(zones: Iterable[Zone], node: int) -> list[int]:
    """Numbers of the zones as a node's tasks try them: the node's own first, highest zone first, then the others'.

    All other nodes count as equally far and are asked in order of their number, from the asker's on.
    """
    numbered = list(enumerate(zones))
    nodes = 1 + max(zone.node for _, zone in numbered)
    return [
        number
        for number, zone in sorted(numbered, key=lambda item: ((item[1].node - node) % nodes, -item[1].index))
    ]


def boot_direct_map(machine: Machine, layout: BootLayout) -> DirectMap:
    """Build the direct map as the boot tiled it."""
    end_pfn = max((zone.start_pfn + zone.spanned for zone in layout.zones), default=0)
    end_pfn = max(end_pfn, *(tile.start_pfn + tile.pages for tile in layout.tiling.tiles))
    return DirectMap(end_pfn, ((tile.start_pfn, tile.pages, tile.level) for tile in layout.tiling.tiles))
