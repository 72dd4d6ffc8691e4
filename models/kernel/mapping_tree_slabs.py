"""Changes of a task's mappings as they take nodes from a slab cache, compiled: set aside, used, given back [6.1]."""

from models.kernel.deferral import OBJECT, RCU, defer
from models.kernel.mapping_tree_changes import store
from models.kernel.mapping_tree_nodes import dead, spare, tree_of
from models.kernel.pages.layout import NONE
from models.kernel.slab_caches import give_object, take_object
from simcore.compiled import jit

__all__ = ["change", "cut_off", "cut_out"]


@jit
def _set_aside(handle: int, tree: int, cpu: int, node: int, cache: int) -> int:
    """Take the nodes that a change may need at worst (`mas_preallocate`); returns how many."""
    record = tree_of(tree)
    worst = 1 + 3 * record.height
    for _ in range(worst):
        spare(tree)[record.spare] = take_object(handle, cpu, node, cache)
        record.spare += 1
    return int(worst)


@jit
def _give(handle: int, cpu: int, slab: int, now_ns: int) -> None:
    if slab != NONE:
        give_object(handle, cpu, slab, now_ns)


@jit
def _give_spare(handle: int, tree: int, cpu: int, now_ns: int, kept: int) -> None:
    """Give the nodes back that are left, but for the first ones."""
    record = tree_of(tree)
    for at in range(kept, record.spare):
        _give(handle, cpu, spare(tree)[at], now_ns)
    record.spare = kept


@jit
def _store(handle: int, tree: int, cpu: int, now_ns: int, kept: int, first: int, last: int, mapped: bool) -> None:
    """Change a tree with nodes that were set aside; give back those that are left, and the old ones later."""
    store(tree, first, last, mapped)
    _give_spare(handle, tree, cpu, now_ns, kept)
    for at in range(tree_of(tree).dead):
        slab = dead(tree)[at]
        if slab != NONE:
            defer(handle, cpu, RCU, now_ns, OBJECT, slab)


@jit
def change(
    handle: int, tree: int, cpu: int, node: int, cache: int, now_ns: int, first: int, last: int, mapped: bool
) -> int:
    """Map or unmap pages; returns how many nodes were set aside.

    Args:
        handle: of the kernel; tree: of the tree.
        cache: number of the slab cache of nodes.
    """
    worst = _set_aside(handle, tree, cpu, node, cache)
    # What is unmapped is put into a tree of its own for a while.
    beside = NONE if mapped else take_object(handle, cpu, node, cache)
    _store(handle, tree, cpu, now_ns, 0, first, last, mapped)
    _give(handle, cpu, beside, now_ns)
    return worst


@jit
def cut_off(handle: int, tree: int, cpu: int, node: int, cache: int, now_ns: int, first: int, last: int) -> int:
    """Put a mapping in place of the front of a reserved area, of which a rest is left or none.

    The area is split, which changes the tree; unmapping the front and mapping the file only replace an entry.

    Args:
        first, last: the rest; ``last`` less than ``first``: none.

    Returns:
        Nodes that were set aside for each of the three.
    """
    worst = _set_aside(handle, tree, cpu, node, cache)
    if first <= last:
        _set_aside(handle, tree, cpu, node, cache)
        _store(handle, tree, cpu, now_ns, worst, first, last, True)
    beside = take_object(handle, cpu, node, cache)
    _give_spare(handle, tree, cpu, now_ns, 0)
    _give(handle, cpu, beside, now_ns)
    _set_aside(handle, tree, cpu, node, cache)
    _give_spare(handle, tree, cpu, now_ns, 0)
    return worst


@jit
def cut_out(
    handle: int, tree: int, cpu: int, node: int, cache: int, now_ns: int, low: int, first: int, end: int, high: int
) -> None:
    """Unmap the pages from ``first`` to ``end`` of a mapping from ``low`` to ``high``, which is split first."""
    worst = _set_aside(handle, tree, cpu, node, cache)
    if low < first:
        _set_aside(handle, tree, cpu, node, cache)
        _store(handle, tree, cpu, now_ns, worst, first, high - 1, True)
    if end < high:
        _set_aside(handle, tree, cpu, node, cache)
        _store(handle, tree, cpu, now_ns, worst, first, end - 1, True)
    beside = take_object(handle, cpu, node, cache)
    _store(handle, tree, cpu, now_ns, 0, first, end - 1, False)
    _give(handle, cpu, beside, now_ns)
