"""Many equal faults of one CPU at once: pages that its list holds already, in regions that are tiled with 4K already.

Between two refills of a CPU's list nobody else can take a page from it, and which page a fault gets depends on that
list alone. While a page needs no page table, no split, no refill and no new slab of page-cache nodes, a fault does the
same each time: it takes the list's first page out of the direct map and hangs it at the end of the file's chain.
`fault_run` does that for as many pages as it holds true of; the state is the same as after so many `fault_page`.
"""

from typing import Final

from models.kernel.direct_map import ABSENT, LEVEL_4K, counters_of, level_of
from models.kernel.flush import EACH
from models.kernel.layout import chains, costs, counts, cpu_slabs, holders, map_handle, page_handle
from models.kernel.map_changes import absent_pages, secret_pages
from models.kernel.nodes import cache_nodes_needed, take_cache_nodes
from models.kernel.pages.layout import NONE, UNMOVABLE, USED, config, lists, pages, per_cpu, zone_at, zones
from models.kernel.pages.lists import per_cpu_list
from models.kernel.pages.percpu import list_index
from models.kernel.pages.watermark import next_zone
from models.kernel.records import CHAINS, FILE_PAGES
from simcore.compiled import jit

__all__ = ["fault_run", "repeats"]

_REGION_PAGES: Final = 512
_TABLE_SHIFT: Final = 9
_MOST: Final = 512
"""Faults in one run at the most, so that no sum over them leaves 63 bits."""


@jit
def repeats(handle: int, mapping: int, index: int, most: int) -> int:
    """How many of a mapping's next pages, at the most, need no page table."""
    cost = costs(handle)
    if cost.flush_mode != EACH or cost.map_step <= 0 or cost.flush_page <= 0:
        return 0
    address = holders(handle)[mapping].start + index
    if address >> _TABLE_SHIFT != holders(handle)[mapping].covered[0]:
        return 0
    return int(min(most, _MOST, (((address >> _TABLE_SHIFT) + 1) << _TABLE_SHIFT) - address))


@jit
def _nodes_at_hand(handle: int, cpu: int, cache: int, needed: int) -> bool:
    """Whether so many page-cache nodes can be taken without asking the page allocator."""
    local = cpu_slabs(handle)[cache * config(page_handle(handle)).cpus + cpu]
    return bool(local.slab != NONE and local.free_objects >= needed)


@jit
def fault_run(
    handle: int, cpu: int, node: int, mapping: int, file: int, node_cache: int, node_shift: int, most: int
) -> int:
    """Fault in a file's next pages under the `page` policy, while each fault is like the one before.

    Args:
        node_cache, node_shift: see `fault_page`.
        most: what `repeats` allows.

    Returns:
        Pages got. What the faults cost is left to the caller: it is the same for each.
    """
    store, tiling = page_handle(handle), map_handle(handle)
    settings = config(store)
    position = next_zone(store, node, 0, 0, settings.alloc_flags, settings.highest_kind, 0)
    if position == NONE:
        return 0
    zone = zone_at(store, node, position)
    if zones(store)[zone].node != zones(store)[zone_at(store, node, 0)].node:
        return 0
    page, which = pages(store), lists(store)[per_cpu_list(store, zone, cpu, list_index(0, UNMOVABLE))]
    absent, secret = absent_pages(tiling), secret_pages(tiling)
    first, owner = which.head, holders(handle)[file]
    before = owner.present
    next_node = NONE  # the next page of the file that needs page-cache nodes
    if node_cache != NONE:
        next_node = 1 if before <= 1 else ((before - 1 >> node_shift) + 1) << node_shift
    pfn, last, done, region, room = first, NONE, 0, NONE, 0
    while done < most and pfn != NONE:
        if pfn >> _TABLE_SHIFT != region:
            region = pfn >> _TABLE_SHIFT
            # A region's first and last absent page, and its first secret one, are noted one by one.
            room = 0
            if level_of(tiling, pfn) == LEVEL_4K and absent[region] > 0 and secret[region] > 0:
                room = _REGION_PAGES - 1 - absent[region]
        record = page[pfn]
        if room <= 0 or record.flags & ABSENT:
            break
        if before + done == next_node:
            if not _nodes_at_hand(handle, cpu, node_cache, cache_nodes_needed(next_node, node_shift)):
                break
            owner.present = next_node
            take_cache_nodes(handle, cpu, node, node_cache, node_shift, file)
            next_node = ((next_node >> node_shift) + 1) << node_shift
        room -= 1
        absent[region] += 1
        secret[region] += 1
        record.state = USED
        record.order = 0
        record.owner = file
        record.flags |= ABSENT
        last = pfn
        pfn = record.next
        done += 1
    owner.present = before + done
    if done == 0:
        return 0
    # The pages hang together in the order in which the file gets them: the list's first part becomes the chain's last.
    which.head = pfn
    which.blocks -= done
    if pfn == NONE:
        which.tail = NONE
    else:
        page[pfn].prev = NONE
    chain = chains(handle)[file * CHAINS + FILE_PAGES]
    if chain.blocks == 0:
        chain.head = first
    else:
        page[first].prev = chain.tail
        page[chain.tail].next = first
    page[last].next = NONE
    chain.tail = last
    chain.blocks += done
    local = per_cpu(store, zone, cpu)
    local.count -= done
    local.free_factor >>= min(done, 62)
    settings.per_cpu_pages -= done
    settings.requests += done
    counters_of(tiling).unmapped_pages += done
    holders(handle)[mapping].present += done
    counted = counts(handle)
    counted.secret_pages += done
    counted.secret_faults += done
    counted.removed_pages += done
    counted.removed_at = settings.requests
    return int(done)
