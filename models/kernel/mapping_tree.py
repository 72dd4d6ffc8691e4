"""The tree of a task's mappings, node by node: what a change takes from the slab cache of maple nodes [6.1].

Rules of `lib/maple_tree.c` for a tree in RCU mode: a node is never changed where a reader could see half of it, but
replaced, and freed after a grace period. Entries are ranges of pages, with or without a mapping; neighbours without
one are one entry, so that a tree of few mappings with gaps has twice as many entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

__all__ = ["MappingTree"]

_LAST_PAGE: Final = (1 << 52) - 1
_LEAF_SLOTS: Final = 16
_INNER_SLOTS: Final = 10
_LEAF_MIN: Final = 6
_INNER_MIN: Final = 4


class _Node:
    """A node: the last page of each entry, and what is there: a mapping or none, or the node below."""

    __slots__ = ("ends", "items", "leaf", "slab")

    def __init__(self, entries: list[tuple[int, object]], *, leaf: bool, slab: int) -> None:
        self.ends = [end for end, _ in entries]
        self.items = [item for _, item in entries]
        self.leaf = leaf
        self.slab = slab

    def entries(self) -> list[tuple[int, object]]:
        return list(zip(self.ends, self.items, strict=True))

    def find(self, page: int) -> int:
        offset = 0
        while self.ends[offset] < page:
            offset += 1
        return offset


Path = list[tuple[_Node, int]]


class MappingTree:
    """A tree of mappings.

    Attributes:
        height: levels.
    """

    def __init__(self, mapped: Iterable[tuple[int, int]], slab: int) -> None:
        """Start with mappings, given as (first page, last page) in ascending order, whose nodes are the boot's.

        Args:
            slab: what stands for the slab of a node that was there before the start.
        """
        self._take: Callable[[], int] = lambda: slab
        self._dead: list[_Node] = []
        self._root = _Node([(_LAST_PAGE, False)], leaf=True, slab=slab)
        self.height = 1
        for first, last in mapped:
            self.store(first, last, True, self._take)

    def nodes_at_worst(self) -> int:
        """Nodes that are set aside before a change (`mas_preallocate`)."""
        return 1 + 3 * self.height

    def passed(self, page: int) -> int:
        """Entries that are compared on the way from the root to a page's entry."""
        return sum(offset + 1 for _, offset in self._walk(page))

    def store(self, first: int, last: int, mapped: bool, take: Callable[[], int]) -> list[int]:
        """Map or unmap pages.

        Args:
            take: gives a node, and says from which slab it is.

        Returns:
            Slabs of the nodes that are no longer used.
        """
        self._take, self._dead = take, []
        path = self._walk(first)
        if self._spans(path, last, mapped):
            self._store_spanning(path, first, last, mapped)
        else:
            self._store_in_leaf(path, first, last, mapped)
        return [node.slab for node in self._dead]

    def _walk(self, page: int) -> Path:
        path, node = [], self._root
        while True:
            offset = node.find(page)
            path.append((node, offset))
            if node.leaf:
                return path
            node = node.items[offset]  # type: ignore[assignment]

    def _spans(self, path: Path, last: int, mapped: bool) -> bool:
        """Whether a store reaches into another leaf, or would leave this one ending without a mapping."""
        for node, offset in path:
            end = node.ends[offset]
            if end > last:
                continue
            if last == _LAST_PAGE and (node.leaf or end == last):
                continue
            if node.leaf:
                if last < node.ends[-1] or (last == node.ends[-1] and mapped):
                    continue
            elif end == last and mapped:
                continue
            return True
        return False

    def _store_in_leaf(self, path: Path, first: int, last: int, mapped: bool) -> None:
        leaf, offset = path[-1]
        ends, items, final = leaf.ends, leaf.items, len(leaf.ends) - 1
        low = self._low(path, offset)
        offset_end = offset
        while ends[offset_end] < last:
            offset_end += 1
        if not mapped:
            if last < ends[offset_end] and not items[offset_end]:
                last = ends[offset_end]
            if last == ends[offset_end] and offset_end < final and not items[offset_end + 1]:
                offset_end += 1
                last = ends[offset_end]
            if not items[offset]:
                first = low
            elif first == low and offset > 0 and not items[offset - 1]:
                offset -= 1
                first = low = self._low(path, offset)
        if first == low and last == ends[offset]:
            items[offset] = mapped
            return
        node_size = final - offset_end + offset + 2
        if node_size < _LEAF_SLOTS and offset_end - offset <= 1 and self._store_in_slot(
            leaf, low, offset, first, last, mapped
        ):
            return
        changed = leaf.entries()
        new: list[tuple[int, object]] = changed[:offset]
        if low < first:
            new.append((first - 1, items[offset]))
        new.append((last, mapped))
        if last < ends[offset_end]:
            new.append((ends[offset_end], items[offset_end]))
        new += changed[offset_end + 1 :]
        if len(new) - 1 < _LEAF_MIN and len(path) > 1:
            self._rebalance(path, new)
        elif len(new) > _LEAF_SLOTS:
            self._split(path, new)
        else:
            self._replace(path, len(path) - 1, self._node(new, leaf=True))

    def _store_in_slot(self, leaf: _Node, low: int, offset: int, first: int, last: int, mapped: bool) -> bool:
        """Move the border between two entries, if that is all there is to do."""
        ends, final = leaf.ends, len(leaf.ends) - 1
        if ends[offset] > last and (low != first or offset != final):
            return False
        if offset == final:
            return False
        following = ends[offset + 1]
        if following < last:
            return False
        if low == first:
            if following == last:
                return False
            leaf.items[offset] = mapped
            ends[offset] = last
            return True
        if following != last:
            return False
        leaf.items[offset + 1] = mapped
        ends[offset] = first - 1
        return True

    def _store_spanning(self, path: Path, first: int, last: int, mapped: bool) -> None:
        right = self._walk(min(last + 1, _LAST_PAGE))
        (leaf, offset), (other, beyond) = path[-1], right[-1]
        low = self._low(path, offset)
        new: list[tuple[int, object]] = leaf.entries()[:offset]
        if low < first:
            new.append((first - 1, leaf.items[offset]))
        rest = other.entries()[beyond:]
        if not mapped:
            if new and not new[-1][1]:
                new.pop()
            if rest and not rest[0][1]:
                last = rest.pop(0)[0]
        new.append((last, mapped))
        new += rest
        self._raise(path, right, new)

    def _rebalance(self, path: Path, new: list[tuple[int, object]]) -> None:
        """A leaf has too few entries: join it with the next one, or with the one before."""
        parent, offset = path[-2]
        if offset + 1 < len(parent.items):
            sibling = parent.items[offset + 1]
            right = [*path[:-2], (parent, offset + 1), (sibling, 0)]
            self._raise(path, right, new + sibling.entries())  # type: ignore[attr-defined, arg-type]
        else:
            sibling = parent.items[offset - 1]
            left = [*path[:-2], (parent, offset - 1), (sibling, 0)]
            self._raise(left, path, sibling.entries() + new)  # type: ignore[attr-defined, arg-type]

    def _raise(self, left: Path, right: Path, new: list[tuple[int, object]]) -> None:
        """Put entries in place of all between two leaves, and replace all nodes above (`mas_spanning_rebalance`)."""
        level = len(left) - 1
        while True:
            node = left[level][0]
            self._bury(node)
            if right[level][0] is not node:
                self._bury(right[level][0])
            least = _LEAF_MIN if node.leaf else _INNER_MIN
            if len(new) <= least and level > 0:
                new, right, left = self._with_cousin(left, right, level, new)
            nodes = self._fit(new, leaf=node.leaf)
            if level == 0 or (len(nodes) == 1 and self._is_everything(left, right, level)):
                for above, _ in left[:level]:
                    self._bury(above)
                self._set_root(nodes)
                return
            level -= 1
            (above, first), (beyond, last) = left[level], right[level]
            new = above.entries()[:first] + [(one.ends[-1], one) for one in nodes] + beyond.entries()[last + 1 :]

    def _with_cousin(
        self, left: Path, right: Path, level: int, new: list[tuple[int, object]]
    ) -> tuple[list[tuple[int, object]], Path, Path]:
        node, _ = right[level]
        if node.ends[-1] < _LAST_PAGE:
            following = self._walk(node.ends[-1] + 1)
            self._bury(following[level][0])
            return new + following[level][0].entries(), following, left
        start = self._start(left, level)
        if start == 0:
            return new, right, left
        before = self._walk(start - 1)
        self._bury(before[level][0])
        return before[level][0].entries() + new, right, before

    def _is_everything(self, left: Path, right: Path, level: int) -> bool:
        return self._start(left, level) == 0 and right[level][0].ends[-1] == _LAST_PAGE

    def _set_root(self, nodes: list[_Node]) -> None:
        while len(nodes) > 1:
            nodes = self._fit([(node.ends[-1], node) for node in nodes], leaf=False)
        self._root = nodes[0]
        self.height, node = 1, nodes[0]
        while not node.leaf:
            node = node.items[0]  # type: ignore[assignment]
            self.height += 1

    def _split(self, path: Path, new: list[tuple[int, object]]) -> None:
        """Entries do not fit into their node: share them with a neighbour, or make it two, upwards (`mas_split`)."""
        level = len(path) - 1
        while True:
            node, _ = path[level]
            slots = _LEAF_SLOTS if node.leaf else _INNER_SLOTS
            if len(new) <= slots:
                self._replace(path, level, self._node(new, leaf=node.leaf))
                return
            self._bury(node)
            if level == 0:
                cut = self._middle(new, leaf=node.leaf)
                halves = [self._node(new[: cut + 1], leaf=node.leaf), self._node(new[cut + 1 :], leaf=node.leaf)]
                self._set_root(halves)
                return
            parent, offset = path[level - 1]
            pushed = self._push(parent, offset, new, node, slots)
            if pushed is not None:
                begin, halves = pushed
                entries = parent.entries()
                entries[begin : begin + 2] = [(half.ends[-1], half) for half in halves]
                self._replace(path, level - 1, self._node(entries, leaf=False))
                return
            cut = self._middle(new, leaf=node.leaf)
            halves = [self._node(new[: cut + 1], leaf=node.leaf), self._node(new[cut + 1 :], leaf=node.leaf)]
            entries = parent.entries()
            entries[offset : offset + 1] = [(half.ends[-1], half) for half in halves]
            new = entries
            level -= 1

    def _push(
        self, parent: _Node, offset: int, new: list[tuple[int, object]], node: _Node, slots: int
    ) -> tuple[int, list[_Node]] | None:
        """Share with the neighbour on the left or on the right, if that has room (`mas_push_data`)."""
        for left in (True, False):
            at = offset - 1 if left else offset + 1
            if not 0 <= at < len(parent.items):
                continue
            sibling: _Node = parent.items[at]  # type: ignore[assignment]
            total = len(new) - 1 + len(sibling.items) - 1
            room = 2 * slots - 2 - int(node.leaf) - int(node.ends[-1] == _LAST_PAGE)
            if total >= room:
                continue
            both = sibling.entries() + new if left else new + sibling.entries()
            cut = self._without_gap(both, slots - 2 if left else total - (slots - 2), leaf=node.leaf)
            self._bury(sibling)
            return min(at, offset), [
                self._node(both[: cut + 1], leaf=node.leaf),
                self._node(both[cut + 1 :], leaf=node.leaf),
            ]
        return None

    def _fit(self, new: list[tuple[int, object]], *, leaf: bool) -> list[_Node]:
        slots = _LEAF_SLOTS if leaf else _INNER_SLOTS
        if len(new) <= slots:
            return [self._node(new, leaf=leaf)]
        size = len(new) - 1
        if size >= 2 * slots - int(not new[size // 2][1]):
            third = (len(new) - 1) // 3
            cuts = [self._without_gap(new, third, leaf=leaf), self._without_gap(new, 2 * third, leaf=leaf)]
        else:
            cuts = [self._middle(new, leaf=leaf)]
        nodes, begin = [], 0
        for cut in [*cuts, len(new) - 1]:
            nodes.append(self._node(new[begin : cut + 1], leaf=leaf))
            begin = cut + 1
        return nodes

    def _middle(self, new: list[tuple[int, object]], *, leaf: bool) -> int:
        return self._without_gap(new, (len(new) - 1) // 2, leaf=leaf)

    def _without_gap(self, new: list[tuple[int, object]], cut: int, *, leaf: bool) -> int:
        """Where to cut so that the left node does not end without a mapping (`mab_no_null_split`)."""
        if new[cut][1]:
            return cut
        slots, least = (_LEAF_SLOTS, _LEAF_MIN) if leaf else (_INNER_SLOTS, _INNER_MIN)
        return cut + 1 if cut < slots - 1 and len(new) - 1 - cut > least else cut - 1

    def _node(self, entries: list[tuple[int, object]], *, leaf: bool) -> _Node:
        return _Node(entries, leaf=leaf, slab=self._take())

    def _bury(self, node: _Node) -> None:
        if not any(node is dead for dead in self._dead):
            self._dead.append(node)

    def _replace(self, path: Path, level: int, node: _Node) -> None:
        """Put a node in the place of another one, without touching its parent."""
        self._bury(path[level][0])
        if level == 0:
            self._set_root([node])
        else:
            parent, offset = path[level - 1]
            parent.items[offset] = node

    def _low(self, path: Path, offset: int) -> int:
        """First page of an entry of a path's leaf."""
        leaf = path[-1][0]
        return leaf.ends[offset - 1] + 1 if offset > 0 else self._start(path, len(path) - 1)

    @staticmethod
    def _start(path: Path, level: int) -> int:
        """First page that a node of a path covers."""
        for node, offset in reversed(path[:level]):
            if offset > 0:
                return node.ends[offset - 1] + 1
        return 0
