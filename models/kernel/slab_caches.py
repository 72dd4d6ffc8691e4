"""Slab caches as SLUB keeps them, compiled: which slab an object comes from, when pages are taken and given back.

Objects have no identity beyond the slab that they lie in, so all state is counts: objects in use per slab, and the
list that a slab is on (active on a CPU, a CPU's partial list, the node's partial list, none when full). The rules are
those of `___slab_alloc` and `__slab_free` with per-CPU partial lists [6.1 mm/slub.c].
"""

from typing import Final

from models.kernel.chains import take, take_quietly
from models.kernel.deferral import PAGES, RCU, defer
from models.kernel.layout import caches, charge, costs, counts, cpu_slabs, page_handle, slab_ids, slabs
from models.kernel.pages.allocator import free_pages
from models.kernel.pages.layout import NONE, config, pages
from models.kernel.records import SLAB_OWNER
from simcore.compiled import jit

__all__ = ["give_object", "prime", "take_object"]

_FULL: Final = 0
_ACTIVE: Final = 1
_CPU_PARTIAL: Final = 2
_NODE_PARTIAL: Final = 3


@jit
def _state_index(handle: int, cache: int, cpu: int) -> int:
    return int(cache * config(page_handle(handle)).cpus + cpu)


@jit
def _new_slab(handle: int, cpu: int, node: int, cache: int) -> int:
    """Take a slab's pages; returns its number, or NONE when there is no memory.

    Slabs from before the start have no pages that are known: they belong to the boot.
    """
    record = caches(handle)[cache]
    pfn = NONE
    if not counts(handle).before_start:
        if record.order > 0:
            pfn = take_quietly(handle, cpu, node, record.order, record.migratetype)
        else:
            pfn = take(handle, cpu, node, 0, record.migratetype)
        if pfn == NONE:
            return NONE
        pages(page_handle(handle))[pfn].owner = SLAB_OWNER - cache
    ids = slab_ids(handle)
    if ids[1] > 0:
        number = int(ids[1 + ids[1]])
        ids[1] -= 1
    else:
        number = int(ids[0])
        ids[0] += 1
    slab = slabs(handle)[number]
    slab.pfn, slab.cache, slab.in_use, slab.where = pfn, cache, 0, _FULL
    record.slabs += 1
    return number


@jit
def _drop_slab(handle: int, cpu: int, number: int, now_ns: int) -> None:
    """Give a slab's pages back, where they are known; those of some caches after a grace period."""
    slab, ids, store = slabs(handle)[number], slab_ids(handle), page_handle(handle)
    caches(handle)[slab.cache].slabs -= 1
    slab.where = _FULL
    ids[1] += 1
    ids[1 + ids[1]] = number
    if slab.pfn == NONE:
        return
    if caches(handle)[slab.cache].typesafe_by_rcu:
        defer(handle, cpu, RCU, now_ns, PAGES, slab.pfn)
    else:
        free_pages(store, cpu, slab.pfn, pages(store)[slab.pfn].order)


@jit
def _add_partial(handle: int, number: int) -> None:
    slab = slabs(handle)[number]
    record = caches(handle)[slab.cache]
    slab.where, slab.next, slab.prev = _NODE_PARTIAL, NONE, record.partial_tail
    if record.partial_tail == NONE:
        record.partial_head = number
    else:
        slabs(handle)[record.partial_tail].next = number
    record.partial_tail = number
    record.partial_slabs += 1


@jit
def _remove_partial(handle: int, number: int) -> None:
    every = slabs(handle)
    slab = every[number]
    record = caches(handle)[slab.cache]
    if slab.prev == NONE:
        record.partial_head = slab.next
    else:
        every[slab.prev].next = slab.next
    if slab.next == NONE:
        record.partial_tail = slab.prev
    else:
        every[slab.next].prev = slab.prev
    record.partial_slabs -= 1


@jit
def _push_cpu_partial(handle: int, local: int, number: int) -> None:
    state, slab = cpu_slabs(handle)[local], slabs(handle)[number]
    slab.where, slab.next = _CPU_PARTIAL, state.partial
    state.partial = number
    state.partial_slabs += 1


@jit
def _activate(handle: int, local: int, number: int) -> None:
    state, slab = cpu_slabs(handle)[local], slabs(handle)[number]
    slab.where = _ACTIVE
    state.slab = number
    state.free_objects = caches(handle)[slab.cache].objects_per_slab - slab.in_use


@jit
def _refill(handle: int, cpu: int, node: int, cache: int) -> bool:
    """Give the CPU an active slab with free objects; false when there is no memory for a new one."""
    local = _state_index(handle, cache, cpu)
    state, record, every = cpu_slabs(handle)[local], caches(handle)[cache], slabs(handle)
    if state.slab != NONE:
        state.free_objects = record.objects_per_slab - every[state.slab].in_use
        if state.free_objects > 0:
            return True
        every[state.slab].where = _FULL
        state.slab = NONE
    if state.partial != NONE:
        number = state.partial
        state.partial = every[number].next
        state.partial_slabs -= 1
        _activate(handle, local, number)
        return True
    if record.partial_head != NONE:
        number = record.partial_head
        _remove_partial(handle, number)
        _activate(handle, local, number)
        moved = 0
        while record.partial_head != NONE and moved <= record.cpu_partial_slabs // 2:
            number = record.partial_head
            _remove_partial(handle, number)
            _push_cpu_partial(handle, local, number)
            moved += 1
        return True
    number = _new_slab(handle, cpu, node, cache)
    if number == NONE:
        return False
    charge(handle).cpu_ns += costs(handle).slab
    _activate(handle, local, number)
    return True


@jit
def take_object(handle: int, cpu: int, node: int, cache: int) -> int:
    """Take one object.

    Returns:
        Number of the slab that it lies in, or NONE when there is no memory.
    """
    state = cpu_slabs(handle)[_state_index(handle, cache, cpu)]
    if state.free_objects == 0 and not _refill(handle, cpu, node, cache):
        return NONE
    state.free_objects -= 1
    slabs(handle)[state.slab].in_use += 1
    caches(handle)[cache].objects += 1
    return int(state.slab)


@jit
def give_object(handle: int, cpu: int, number: int, now_ns: int) -> None:
    """Give one object of a slab back, and with it the slabs that are now empty and too many."""
    every = slabs(handle)
    slab = every[number]
    local = _state_index(handle, slab.cache, cpu)
    state, record = cpu_slabs(handle)[local], caches(handle)[slab.cache]
    slab.in_use -= 1
    record.objects -= 1
    if number == state.slab:
        state.free_objects += 1
    elif slab.where == _FULL:
        _hand_over(handle, cpu, local, now_ns)
        _push_cpu_partial(handle, local, number)
    elif slab.where == _NODE_PARTIAL and slab.in_use == 0 and record.partial_slabs >= record.min_partial:
        _remove_partial(handle, number)
        _drop_slab(handle, cpu, number, now_ns)


@jit
def _hand_over(handle: int, cpu: int, local: int, now_ns: int) -> None:
    """Hand a CPU's full partial list to the node; empty slabs beyond the node's minimum are given back."""
    state, every = cpu_slabs(handle)[local], slabs(handle)
    number = state.partial
    if number == NONE:
        return
    record = caches(handle)[every[number].cache]
    if state.partial_slabs < record.cpu_partial_slabs:
        return
    state.partial, state.partial_slabs = NONE, 0
    dropped = NONE
    while number != NONE:
        following = every[number].next
        if every[number].in_use == 0 and record.partial_slabs >= record.min_partial:
            every[number].next = dropped
            dropped = number
        else:
            _add_partial(handle, number)
        number = following
    while dropped != NONE:
        following = every[dropped].next
        _drop_slab(handle, cpu, dropped, now_ns)
        dropped = following


@jit
def prime(handle: int, cpu: int, cache: int, free_objects: int) -> None:
    """Start a cache as the boot leaves it: full slabs but for `free_objects` that can be taken before a new slab."""
    record, counted = caches(handle)[cache], counts(handle)
    local = _state_index(handle, cache, cpu)
    rest = free_objects
    counted.before_start += 1
    while rest > 0:
        here = min(rest, record.objects_per_slab)
        number = _new_slab(handle, cpu, 0, cache)
        slabs(handle)[number].in_use = record.objects_per_slab - here
        record.objects += record.objects_per_slab - here
        if rest == free_objects:
            _activate(handle, local, number)
        else:
            _add_partial(handle, number)
        rest -= here
    counted.before_start -= 1
