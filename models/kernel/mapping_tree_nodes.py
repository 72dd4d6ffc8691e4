"""Nodes of a task's tree of mappings, compiled: where they are kept, walks over them, and entries put together anew.

A change gathers the entries of the nodes that it replaces in one place, changes them there, and makes nodes of them.
"""

from typing import Any, Final

import numpy as np

from models.kernel.arena import header, reserve, slot_array
from simcore.compiled import jit

__all__ = [
    "BESIDE", "INNER_MIN", "INNER_SLOTS", "LAST_PAGE", "LEAF_MIN", "LEAF_SLOTS", "LEFT", "NODE", "RIGHT", "TREE",
    "Nodes", "add_entries", "add_entry", "bury", "copy_path", "dead", "ends", "filled", "insert_entries", "items",
    "last_of", "made", "make_node", "new_items", "nodes", "paths", "recycle", "spare", "start_of", "step", "tree_of",
    "walk",
]  # fmt: skip

LAST_PAGE: Final = (1 << 52) - 1
LEAF_SLOTS: Final = 16
INNER_SLOTS: Final = 10
LEAF_MIN: Final = 6
INNER_MIN: Final = 4
LEFT: Final = 0
RIGHT: Final = 1
BESIDE: Final = 2
"""Walks that a change keeps at the same time: to its first page, to the page behind it, and to a neighbour of these."""
_WALKS: Final = 3
_MOST_LEVELS: Final = 16
_MOST_NODES: Final = 1 << 20
"""Of a tree of two million mappings, far beyond what a process may have (`sysctl_max_map_count`)."""
_MOST_ENTRIES: Final = 64
"""Of one change: those of two leaves and what it adds are 34 at the most."""
_MOST_ASIDE: Final = 4 * (1 + 3 * _MOST_LEVELS)

TREE: Final = np.dtype(
    [
        ("root", "<i8"), ("height", "<i8"),
        ("used", "<i8"), ("unused", "<i8"),  # numbers of nodes ever used; those given back
        ("entries", "<i8"),  # that are being put together
        ("spare", "<i8"), ("dead", "<i8"),
        ("boot_slab", "<i8"),  # of a node that is made when none was set aside
    ]
)  # fmt: skip
NODE: Final = np.dtype([("count", "<i8"), ("leaf", "<i8"), ("slab", "<i8")])


class Nodes:
    """The arrays of one tree, which begins as one leaf that is all gap.

    Attributes:
        handle: first argument of the compiled operations.
        tree: one `TREE` record.
        nodes: `NODE` records.
        ends: last page of each entry of each node.
        items: what is there.
        spare: slabs of nodes set aside.
        dead: slabs of nodes that the last change has replaced.
    """

    def __init__(self, boot_slab: int) -> None:
        """Lay the arrays out.

        Args:
            boot_slab: slab of nodes for which none was set aside.
        """
        self.tree = np.zeros(1, TREE)
        self.nodes = reserve(_MOST_NODES, NODE)
        self.ends, self.items = (reserve(_MOST_NODES * LEAF_SLOTS, np.int64) for _ in range(2))
        entries = [np.zeros(_MOST_ENTRIES, np.int64) for _ in range(2)]
        ways, made_nodes = np.zeros(2 * _WALKS * _MOST_LEVELS, np.int64), np.zeros(4, np.int64)
        self.spare, self.dead = np.zeros(_MOST_ASIDE, np.int64), np.zeros(_MOST_ASIDE, np.int64)
        unused = reserve(_MOST_NODES, np.int64)
        # The root is the node with number 0.
        self.tree["height"] = self.tree["used"] = 1
        self.tree["boot_slab"] = boot_slab
        self.nodes[0] = (1, 1, boot_slab)
        self.ends[0] = LAST_PAGE
        self._arrays = [
            self.tree, self.nodes, self.ends, self.items, *entries, ways, self.spare, self.dead, unused, made_nodes,
        ]  # fmt: skip
        self._header = header(self._arrays)
        self.handle = int(self._header.ctypes.data)


_trees = slot_array(0, TREE)
nodes = slot_array(1, NODE)
"""`NODE` records by number."""
ends = slot_array(2, np.int64)
"""Last page of each entry: `LEAF_SLOTS` for each node."""
items = slot_array(3, np.int64)
"""Of each entry of a leaf: whether pages are mapped; of an inner node: the node below."""
_new_ends = slot_array(4, np.int64)
new_items = slot_array(5, np.int64)
"""Entries that are being put together."""
paths = slot_array(6, np.int64)
"""Node and offset by level, of each walk."""
spare = slot_array(7, np.int64)
"""Slabs of the nodes that were set aside for changes; the last one is used first."""
dead = slot_array(8, np.int64)
"""Nodes that a change has replaced, in the order of that."""
_unused = slot_array(9, np.int64)
made = slot_array(10, np.int64)
"""Nodes that were made last, to take the place of others."""


@jit
def tree_of(tree: int) -> Any:
    """The `TREE` record."""
    return _trees(tree)[0]


@jit
def step(path: int, level: int) -> int:
    """Position in `paths` of a walk's node on a level; its offset is behind it."""
    return 2 * (path * _MOST_LEVELS + level)


@jit
def walk(tree: int, path: int, page: int) -> None:
    """Note the way from the root to the entry of a page."""
    record, way, end, item = tree_of(tree), paths(tree), ends(tree), items(tree)
    node = record.root
    for level in range(record.height):
        first, offset = node * LEAF_SLOTS, 0
        while end[first + offset] < page:
            offset += 1
        at = step(path, level)
        way[at], way[at + 1] = node, offset
        node = item[first + offset]


@jit
def copy_path(tree: int, path: int, onto: int) -> None:
    """Let a walk be the same as another one."""
    way = paths(tree)
    for at in range(2 * _MOST_LEVELS):
        way[step(onto, 0) + at] = way[step(path, 0) + at]


@jit
def last_of(tree: int, node: int) -> int:
    """Last page that a node covers."""
    return int(ends(tree)[node * LEAF_SLOTS + nodes(tree)[node].count - 1])


@jit
def start_of(tree: int, path: int, level: int) -> int:
    """First page that a walk's node on a level covers."""
    way, end = paths(tree), ends(tree)
    for above in range(level - 1, -1, -1):
        at = step(path, above)
        if way[at + 1] > 0:
            return int(end[way[at] * LEAF_SLOTS + way[at + 1] - 1] + 1)
    return 0


@jit
def filled(item: int, leaf: int) -> bool:
    """Whether an entry is no gap."""
    return not leaf or item != 0


@jit
def add_entry(tree: int, end: int, item: int) -> None:
    """Put an entry behind those that are there."""
    record = tree_of(tree)
    _new_ends(tree)[record.entries], new_items(tree)[record.entries] = end, item
    record.entries += 1


@jit
def add_entries(tree: int, node: int, first: int, last: int) -> None:
    """Put entries of a node, from one up to and without another, behind those that are there."""
    end, item = ends(tree), items(tree)
    for at in range(node * LEAF_SLOTS + first, node * LEAF_SLOTS + last):
        add_entry(tree, end[at], item[at])


@jit
def insert_entries(tree: int, node: int) -> None:
    """Put all entries of a node before those that are there."""
    record, count = tree_of(tree), nodes(tree)[node].count
    end, item, new_end, new_item = ends(tree), items(tree), _new_ends(tree), new_items(tree)
    for at in range(record.entries - 1, -1, -1):
        new_end[at + count], new_item[at + count] = new_end[at], new_item[at]
    for at in range(count):
        new_end[at], new_item[at] = end[node * LEAF_SLOTS + at], item[node * LEAF_SLOTS + at]
    record.entries += count


@jit
def make_node(tree: int, first: int, last: int, leaf: int) -> int:
    """Make a node of the entries from one up to and without another, with memory that was set aside."""
    record, end, item = tree_of(tree), ends(tree), items(tree)
    if record.unused > 0:
        record.unused -= 1
        number = _unused(tree)[record.unused]
    else:
        number = record.used
        record.used += 1
    node = nodes(tree)[number]
    node.count, node.leaf, node.slab = last - first, leaf, record.boot_slab
    if record.spare > 0:
        record.spare -= 1
        node.slab = spare(tree)[record.spare]
    for at in range(last - first):
        end[number * LEAF_SLOTS + at] = _new_ends(tree)[first + at]
        item[number * LEAF_SLOTS + at] = new_items(tree)[first + at]
    return int(number)


@jit
def bury(tree: int, node: int) -> None:
    """Note that a node is no longer part of the tree."""
    record, buried = tree_of(tree), dead(tree)
    for at in range(record.dead):
        if buried[at] == node:
            return
    buried[record.dead] = node
    record.dead += 1


@jit
def recycle(tree: int) -> None:
    """Let the numbers of dead nodes be used again, and leave their slabs in their place."""
    record, buried = tree_of(tree), dead(tree)
    for at in range(record.dead):
        number = buried[at]
        _unused(tree)[record.unused] = number
        record.unused += 1
        buried[at] = nodes(tree)[number].slab
