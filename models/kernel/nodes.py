"""Kernel objects of which a holder has any number: page-cache nodes of a file, reverse-map links of a deep task."""

from models.kernel.deferral import OBJECT, defer
from models.kernel.layout import holders, nodes
from models.kernel.pages.layout import NONE
from models.kernel.slab_caches import give_object, take_object
from simcore.compiled import jit

__all__ = ["cache_nodes_needed", "give_nodes", "take_cache_nodes", "take_node"]


@jit
def take_node(handle: int, cpu: int, node: int, cache: int, holder: int) -> bool:
    """Take an object and note it with the holder; false when there is no memory."""
    slab = take_object(handle, cpu, node, cache)
    if slab == NONE:
        return False
    record, noted = holders(handle)[holder], nodes(handle)
    entry = noted[0].next
    if entry == 0:
        noted[0].slab += 1
        entry = noted[0].slab
    else:
        noted[0].next = noted[entry].next
    noted[entry].slab, noted[entry].next = slab, record.nodes
    record.nodes = entry
    return True


@jit
def cache_nodes_needed(index: int, shift: int) -> int:
    """Page-cache nodes that a page needs, of a file that is filled upwards (`xas_create` of an xarray).

    Args:
        shift: log2 of a node's slots: 6, or 4 on kernels built small.
    """
    if index == 0:
        return 0
    needed, span = int(index == 1), 1 << shift
    while index % span == 0:
        needed += 1 + int(index == span)
        span <<= shift
    return needed


@jit
def take_cache_nodes(handle: int, cpu: int, node: int, cache: int, shift: int, file: int) -> bool:
    """Take the page-cache nodes that a file's next page needs (`cache_nodes_needed`).

    Args:
        cache: slab cache of the nodes; NONE: they are not modelled.
    """
    if cache == NONE:
        return True
    needed = cache_nodes_needed(holders(handle)[file].present, shift)
    for _ in range(needed):
        if not take_node(handle, cpu, node, cache, file):
            return False
    return True


@jit
def give_nodes(handle: int, cpu: int, holder: int, when: int, now_ns: int) -> None:
    """Give all such objects of a holder back, at once (0) or later (RCU, WORKER)."""
    record, noted = holders(handle)[holder], nodes(handle)
    while record.nodes != 0:
        entry = record.nodes
        record.nodes = noted[entry].next
        if when > 0:
            defer(handle, cpu, when, now_ns, OBJECT, noted[entry].slab)
        else:
            give_object(handle, cpu, noted[entry].slab, now_ns)
        noted[entry].next = noted[0].next
        noted[0].next = entry
