"""How entries are shared among nodes of a task's tree of mappings, compiled: splits, loans and joins up to the root."""

from models.kernel.mapping_tree_nodes import (
    BESIDE,
    INNER_MIN,
    INNER_SLOTS,
    LAST_PAGE,
    LEAF_MIN,
    LEAF_SLOTS,
    LEFT,
    RIGHT,
    add_entries,
    add_entry,
    bury,
    copy_path,
    filled,
    insert_entries,
    items,
    last_of,
    made,
    make_node,
    new_items,
    nodes,
    paths,
    start_of,
    step,
    tree_of,
    walk,
)  # fmt: skip
from simcore.compiled import jit

__all__ = ["join", "replace", "split"]


@jit
def _without_gap(tree: int, cut: int, leaf: int) -> int:
    """Where to cut the entries so that the left node does not end without a mapping (`mab_no_null_split`)."""
    if filled(new_items(tree)[cut], leaf):
        return cut
    slots, least = (LEAF_SLOTS, LEAF_MIN) if leaf else (INNER_SLOTS, INNER_MIN)
    return cut + 1 if cut < slots - 1 and tree_of(tree).entries - 1 - cut > least else cut - 1


@jit
def _halve(tree: int, cut: int, leaf: int) -> None:
    """Make two nodes of the entries, the first one up to and with a place."""
    nodes_made = made(tree)
    nodes_made[0] = make_node(tree, 0, cut + 1, leaf)
    nodes_made[1] = make_node(tree, cut + 1, tree_of(tree).entries, leaf)


@jit
def _middle(tree: int, leaf: int) -> int:
    return _without_gap(tree, (tree_of(tree).entries - 1) // 2, leaf)


@jit
def _fit(tree: int, leaf: int) -> int:
    """Make as many nodes of the entries as are needed; returns how many."""
    count, nodes_made = tree_of(tree).entries, made(tree)
    slots = LEAF_SLOTS if leaf else INNER_SLOTS
    if count <= slots:
        nodes_made[0] = make_node(tree, 0, count, leaf)
        return 1
    size = count - 1
    if size >= 2 * slots - int(not filled(new_items(tree)[size // 2], leaf)):
        third = size // 3
        first, second = _without_gap(tree, third, leaf), _without_gap(tree, 2 * third, leaf)
        nodes_made[0] = make_node(tree, 0, first + 1, leaf)
        nodes_made[1] = make_node(tree, first + 1, second + 1, leaf)
        nodes_made[2] = make_node(tree, second + 1, count, leaf)
        return 3
    _halve(tree, _middle(tree, leaf), leaf)
    return 2


@jit
def _add_made(tree: int, count: int) -> None:
    """Put the nodes that were made, as entries of the node above, behind the entries that are there."""
    for at in range(count):
        node = made(tree)[at]
        add_entry(tree, last_of(tree, node), node)


@jit
def _set_root(tree: int, count: int) -> None:
    """Let the nodes that were made be the top of the tree, under as many new ones as it takes."""
    record = tree_of(tree)
    while count > 1:
        record.entries = 0
        _add_made(tree, count)
        count = _fit(tree, 0)
    record.root = made(tree)[0]
    record.height, node = 1, record.root
    while not nodes(tree)[node].leaf:
        node = items(tree)[node * LEAF_SLOTS]
        record.height += 1


@jit
def replace(tree: int, path: int, level: int, node: int) -> None:
    """Put a node in the place of another one, without touching its parent."""
    way, at = paths(tree), step(path, level)
    bury(tree, way[at])
    if level == 0:
        made(tree)[0] = node
        _set_root(tree, 1)
    else:
        above = step(path, level - 1)
        items(tree)[way[above] * LEAF_SLOTS + way[above + 1]] = node


@jit
def split(tree: int, path: int) -> None:
    """Entries do not fit into their node: share them with a neighbour, or make it two, upwards (`mas_split`)."""
    record, way = tree_of(tree), paths(tree)
    level = record.height - 1
    while True:
        node = way[step(path, level)]
        leaf = nodes(tree)[node].leaf
        if record.entries <= (LEAF_SLOTS if leaf else INNER_SLOTS):
            replace(tree, path, level, make_node(tree, 0, record.entries, leaf))
            return
        bury(tree, node)
        if level == 0:
            _halve(tree, _middle(tree, leaf), leaf)
            _set_root(tree, 2)
            return
        above = step(path, level - 1)
        parent, offset = way[above], way[above + 1]
        count = nodes(tree)[parent].count
        begin = _push(tree, parent, offset, node)
        shared = begin >= 0
        if not shared:
            begin = offset
            _halve(tree, _middle(tree, leaf), leaf)
        record.entries = 0
        add_entries(tree, parent, 0, begin)
        _add_made(tree, 2)
        add_entries(tree, parent, begin + 1 + int(shared), count)
        if shared:
            replace(tree, path, level - 1, make_node(tree, 0, record.entries, 0))
            return
        level -= 1


@jit
def _push(tree: int, parent: int, offset: int, node: int) -> int:
    """Share with the neighbour on the left or on the right, if that has room (`mas_push_data`).

    Returns:
        Offset of the first of the two nodes that were made in place of two others; -1: there is no room.
    """
    record, leaf = tree_of(tree), nodes(tree)[node].leaf
    slots = LEAF_SLOTS if leaf else INNER_SLOTS
    room = 2 * slots - 2 - int(leaf) - int(last_of(tree, node) == LAST_PAGE)
    for side in range(2):
        at = offset + 1 if side else offset - 1
        if not 0 <= at < nodes(tree)[parent].count:
            continue
        sibling = items(tree)[parent * LEAF_SLOTS + at]
        total = record.entries - 1 + nodes(tree)[sibling].count - 1
        if total >= room:
            continue
        if side:
            add_entries(tree, sibling, 0, nodes(tree)[sibling].count)
        else:
            insert_entries(tree, sibling)
        cut = _without_gap(tree, total - (slots - 2) if side else slots - 2, leaf)
        bury(tree, sibling)
        _halve(tree, cut, leaf)
        return int(min(at, offset))
    return -1


@jit
def join(tree: int) -> None:
    """Put the entries in place of all between two leaves, and replace all nodes above (`mas_spanning_rebalance`)."""
    record, way = tree_of(tree), paths(tree)
    level = record.height - 1
    while True:
        node, other = way[step(LEFT, level)], way[step(RIGHT, level)]
        leaf = nodes(tree)[node].leaf
        bury(tree, node)
        bury(tree, other)
        if record.entries <= (LEAF_MIN if leaf else INNER_MIN) and level > 0:
            _add_cousin(tree, level)
        count = _fit(tree, leaf)
        if level == 0 or (count == 1 and _is_everything(tree, level)):
            for above in range(level):
                bury(tree, way[step(LEFT, above)])
            _set_root(tree, count)
            return
        level -= 1
        left, right = step(LEFT, level), step(RIGHT, level)
        record.entries = 0
        add_entries(tree, way[left], 0, way[left + 1])
        _add_made(tree, count)
        add_entries(tree, way[right], way[right + 1] + 1, nodes(tree)[way[right]].count)


@jit
def _add_cousin(tree: int, level: int) -> None:
    """Add the entries of the node behind, or of the one before, and go on with that one's walk."""
    way = paths(tree)
    end = last_of(tree, way[step(RIGHT, level)])
    if end < LAST_PAGE:
        walk(tree, BESIDE, end + 1)
        cousin = way[step(BESIDE, level)]
        add_entries(tree, cousin, 0, nodes(tree)[cousin].count)
        copy_path(tree, BESIDE, RIGHT)
    else:
        start = start_of(tree, LEFT, level)
        if start == 0:
            return
        walk(tree, BESIDE, start - 1)
        cousin = way[step(BESIDE, level)]
        insert_entries(tree, cousin)
        copy_path(tree, BESIDE, LEFT)
    bury(tree, cousin)


@jit
def _is_everything(tree: int, level: int) -> bool:
    way = paths(tree)
    return start_of(tree, LEFT, level) == 0 and last_of(tree, way[step(RIGHT, level)]) == LAST_PAGE
