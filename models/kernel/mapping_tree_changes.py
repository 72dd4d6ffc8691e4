"""Changes of a task's tree of mappings, compiled [6.1].

Rules of `lib/maple_tree.c` for a tree in RCU mode: a node is never changed where a reader could see half of it, but
replaced, and freed after a grace period.
"""

from models.kernel.mapping_tree_balance import join, replace, split
from models.kernel.mapping_tree_nodes import (
    LAST_PAGE,
    LEAF_MIN,
    LEAF_SLOTS,
    LEFT,
    RIGHT,
    add_entries,
    add_entry,
    copy_path,
    ends,
    insert_entries,
    items,
    last_of,
    make_node,
    new_items,
    nodes,
    paths,
    recycle,
    start_of,
    step,
    tree_of,
    walk,
)  # fmt: skip
from simcore.compiled import jit

__all__ = ["passed", "store"]


@jit
def passed(tree: int, page: int) -> int:
    """Entries that are compared on the way from the root to a page's entry."""
    record, way = tree_of(tree), paths(tree)
    walk(tree, LEFT, page)
    compared = 0
    for level in range(record.height):
        compared += way[step(LEFT, level) + 1] + 1
    return int(compared)


@jit
def store(tree: int, first: int, last: int, mapped: bool) -> None:
    """Map or unmap pages, with the nodes that were set aside; the slabs of those no longer used are left in `dead`."""
    record = tree_of(tree)
    record.dead = 0
    walk(tree, LEFT, first)
    if _spans(tree, last, mapped):
        _store_spanning(tree, first, last, mapped)
    else:
        _store_in_leaf(tree, first, last, mapped)
    recycle(tree)


@jit
def _spans(tree: int, last: int, mapped: bool) -> bool:
    """Whether a store reaches into another leaf, or would leave this one ending without a mapping."""
    way = paths(tree)
    for level in range(tree_of(tree).height):
        at = step(LEFT, level)
        node = way[at]
        end, leaf = ends(tree)[node * LEAF_SLOTS + way[at + 1]], nodes(tree)[node].leaf
        if end > last:
            continue
        if last == LAST_PAGE and (leaf or end == last):
            continue
        if leaf:
            final = last_of(tree, node)
            if last < final or (last == final and mapped):
                continue
        elif end == last and mapped:
            continue
        return True
    return False


@jit
def _low(tree: int, offset: int) -> int:
    """First page of an entry of the leaf."""
    level = tree_of(tree).height - 1
    if offset > 0:
        return int(ends(tree)[paths(tree)[step(LEFT, level)] * LEAF_SLOTS + offset - 1] + 1)
    return start_of(tree, LEFT, level)


@jit
def _store_in_leaf(tree: int, first: int, last: int, mapped: bool) -> None:
    record, end, item = tree_of(tree), ends(tree), items(tree)
    level = record.height - 1
    at = step(LEFT, level)
    leaf, offset = paths(tree)[at], paths(tree)[at + 1]
    base, count = leaf * LEAF_SLOTS, nodes(tree)[leaf].count
    final = count - 1
    low = _low(tree, offset)
    offset_end = offset
    while end[base + offset_end] < last:
        offset_end += 1
    if not mapped:
        if last < end[base + offset_end] and not item[base + offset_end]:
            last = end[base + offset_end]
        if last == end[base + offset_end] and offset_end < final and not item[base + offset_end + 1]:
            offset_end += 1
            last = end[base + offset_end]
        if not item[base + offset]:
            first = low
        elif first == low and offset > 0 and not item[base + offset - 1]:
            offset -= 1
            low = _low(tree, offset)
            first = low
    if first == low and last == end[base + offset]:
        item[base + offset] = int(mapped)
        return
    node_size = final - offset_end + offset + 2
    if (
        node_size < LEAF_SLOTS
        and offset_end - offset <= 1
        and _store_in_slot(tree, leaf, low, offset, first, last, mapped)
    ):
        return
    record.entries = 0
    add_entries(tree, leaf, 0, offset)
    if low < first:
        add_entry(tree, first - 1, item[base + offset])
    add_entry(tree, last, int(mapped))
    if last < end[base + offset_end]:
        add_entry(tree, end[base + offset_end], item[base + offset_end])
    add_entries(tree, leaf, offset_end + 1, count)
    if record.entries - 1 < LEAF_MIN and level > 0:
        _rebalance(tree)
    elif record.entries > LEAF_SLOTS:
        split(tree, LEFT)
    else:
        replace(tree, LEFT, level, make_node(tree, 0, record.entries, 1))


@jit
def _store_in_slot(tree: int, leaf: int, low: int, offset: int, first: int, last: int, mapped: bool) -> bool:
    """Move the border between two entries, if that is all there is to do."""
    end, item, at = ends(tree), items(tree), leaf * LEAF_SLOTS + offset
    final = nodes(tree)[leaf].count - 1
    if offset == final or end[at] > last:
        return False
    following = end[at + 1]
    if following < last:
        return False
    if low == first:
        if following == last:
            return False
        item[at], end[at] = int(mapped), last
        return True
    if following != last:
        return False
    item[at + 1], end[at] = int(mapped), first - 1
    return True


@jit
def _store_spanning(tree: int, first: int, last: int, mapped: bool) -> None:
    record, way = tree_of(tree), paths(tree)
    level = record.height - 1
    walk(tree, RIGHT, min(last + 1, LAST_PAGE))
    leaf, offset = way[step(LEFT, level)], way[step(LEFT, level) + 1]
    other, beyond = way[step(RIGHT, level)], way[step(RIGHT, level) + 1]
    low = _low(tree, offset)
    record.entries = 0
    add_entries(tree, leaf, 0, offset)
    if low < first:
        add_entry(tree, first - 1, items(tree)[leaf * LEAF_SLOTS + offset])
    if not mapped:
        if record.entries > 0 and not new_items(tree)[record.entries - 1]:
            record.entries -= 1
        if not items(tree)[other * LEAF_SLOTS + beyond]:
            last = ends(tree)[other * LEAF_SLOTS + beyond]
            beyond += 1
    add_entry(tree, last, int(mapped))
    add_entries(tree, other, beyond, nodes(tree)[other].count)
    join(tree)


@jit
def _rebalance(tree: int) -> None:
    """The leaf has too few entries: join it with the next one, or with the one before."""
    way = paths(tree)
    level = tree_of(tree).height - 1
    above = step(LEFT, level - 1)
    parent, offset = way[above], way[above + 1]
    copy_path(tree, LEFT, RIGHT)
    if offset + 1 < nodes(tree)[parent].count:
        side, sibling = RIGHT, items(tree)[parent * LEAF_SLOTS + offset + 1]
        add_entries(tree, sibling, 0, nodes(tree)[sibling].count)
        way[step(RIGHT, level - 1) + 1] = offset + 1
    else:
        side, sibling = LEFT, items(tree)[parent * LEAF_SLOTS + offset - 1]
        insert_entries(tree, sibling)
        way[step(LEFT, level - 1) + 1] = offset - 1
    at = step(side, level)
    way[at], way[at + 1] = sibling, 0
    join(tree)
