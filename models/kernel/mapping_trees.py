"""What a change of a task's mappings takes, where its tree of mappings is followed node by node."""

from __future__ import annotations

from functools import cached_property

from models.kernel.mapping_tree import MappingTree
from models.kernel.mapping_tree_slabs import change
from models.kernel.secret_files import SecretFiles

__all__ = ["MappingTrees"]


class MappingTrees(SecretFiles):
    """A kernel that keeps trees of mappings."""

    @cached_property
    def _maple_node(self) -> int:
        """Number of the slab cache of nodes of trees of mappings."""
        return self.programs.caches["maple_node"]

    def _change_tree(self, tree: MappingTree, start: int, end: int, cpu: int, *, mapped: bool) -> None:
        """Take the nodes that a change of a task's mappings may need at worst, use some, give the others back."""
        worst = change(
            self.handle, tree.handle, cpu, self.node_of[cpu], self._maple_node, self.now_ns, start, end - 1, mapped
        )
        self.spent_ns += self._ns["tree_node"] * worst if mapped else 0
