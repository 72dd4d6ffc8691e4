"""The tree of a task's mappings, node by node: what a change takes from the slab cache of maple nodes [6.1].

Entries are ranges of pages, with or without a mapping; neighbours without one are one entry, so that a tree of few
mappings with gaps has twice as many entries. How a change is made: `models.kernel.mapping_tree_changes`.
"""

from __future__ import annotations

from collections.abc import Iterable

from models.kernel.mapping_tree_changes import passed, store
from models.kernel.mapping_tree_nodes import TREE, Nodes

__all__ = ["MappingTree"]

_HEIGHT = (TREE.names or ()).index("height")


class MappingTree:
    """A tree of mappings.

    Attributes:
        arrays: its nodes.
        handle: first argument of the compiled operations.
    """

    def __init__(self, mapped: Iterable[tuple[int, int]], slab: int) -> None:
        """Start with mappings, given as (first page, last page) in ascending order, whose nodes are the boot's.

        Args:
            slab: what stands for the slab of a node that was there before the start.
        """
        self.arrays = Nodes(slab)
        self.handle = self.arrays.handle
        self._tree = memoryview(self.arrays.tree.view("<i8"))  # type: ignore[arg-type]  # NumPy hides its buffer
        for first, last in mapped:
            store(self.handle, first, last, True)

    @property
    def height(self) -> int:
        """Levels."""
        return self._tree[_HEIGHT]

    def nodes_at_worst(self) -> int:
        """Nodes that are set aside before a change (`mas_preallocate`)."""
        return 1 + 3 * self.height

    def passed(self, page: int) -> int:
        """Entries that are compared on the way from the root to a page's entry."""
        return int(passed(self.handle, page))

    def store(self, first: int, last: int, mapped: bool, spare: list[int]) -> list[int]:
        """Map or unmap pages.

        Args:
            spare: slabs of the nodes that were set aside; those that are used are taken from its end.

        Returns:
            Slabs of the nodes that are no longer used.
        """
        tree, arrays = self.arrays.tree[0], self.arrays
        arrays.spare[: len(spare)] = spare
        tree["spare"] = len(spare)
        store(self.handle, first, last, mapped)
        del spare[int(tree["spare"]) :]
        tree["spare"] = 0
        return [int(slab) for slab in arrays.dead[: int(tree["dead"])]]
