"""Ordinary memory of a task whose tree of mappings is followed: its vmas join, and are split where a part goes [6.1].

Sources: mm/mmap.c (`mmap_region`, `vma_expand`, `do_mas_align_munmap`, `__split_vma`) and mm/rmap.c
(`anon_vma_prepare`, `anon_vma_clone`). A mapping is what the program asked for; it is part of a vma.
"""

from __future__ import annotations

from bisect import bisect_right, insort

from models.kernel.entities import AnonVma, Mapping, Task, Vma
from models.kernel.mapping_tree import MappingTree
from models.kernel.mapping_tree_slabs import cut_out
from models.kernel.mapping_trees import MappingTrees

__all__ = ["AnonymousVmas"]


def _start(vma: Vma) -> int:
    return vma.start


class AnonymousVmas(MappingTrees):
    """A kernel that keeps vmas of ordinary memory."""

    def know_vma(self, task: Task, start: int, end: int) -> None:
        """Note a vma that a task has had before anything is counted, and has touched."""
        insort(task.vmas, self._new_vma(start, end, AnonVma(self.new_holder())), key=_start)

    def _new_vma(self, start: int, end: int, anon_vma: AnonVma) -> Vma:
        anon_vma.vmas += 1
        return Vma(start, end, self.new_holder(), anon_vma)

    def _join_vma(self, task: Task, tree: MappingTree, mapping: Mapping, cpu: int) -> None:
        """Map ordinary memory: a vma beside it grows, and takes in the one on the other side if both began as one."""
        start, end, vmas = mapping.start, mapping.start + mapping.pages, task.vmas
        at = bisect_right(vmas, start, key=_start)
        before = vmas[at - 1] if at and vmas[at - 1].end == start else None
        behind = vmas[at] if at < len(vmas) and vmas[at].start == end else None
        if before is not None and (behind is None or behind.anon_vma is before.anon_vma):
            before.end = end if behind is None else behind.end
            self._change_tree(tree, before.start, before.end, cpu, mapped=True)
            if behind is not None:
                vmas.remove(behind)
                self._drop_vma(behind, cpu)
        elif behind is not None:
            behind.start = start
            self._change_tree(tree, start, behind.end, cpu, mapped=True)
        else:
            vma = self._new_vma(start, end, AnonVma(self.new_holder()))
            vmas.insert(at, vma)
            self.run("mmap_anon_area", vma.holder, cpu)
            self._change_tree(tree, start, end, cpu, mapped=True)
            self.run("link_anon_vma", vma.holder, cpu)
            self.run("new_anon_vma", vma.anon_vma.holder, cpu)

    def _cut_out(self, task: Task, tree: MappingTree, mapping: Mapping, cpu: int) -> Vma | None:
        """Take what is unmapped out of a task's tree, and out of its vma if it is ordinary memory.

        Returns:
            A vma of its own, to be dropped when its pages are gone; None: it was no ordinary memory.
        """
        start, end, vmas = mapping.start, mapping.start + mapping.pages, task.vmas
        at = bisect_right(vmas, start, key=_start) - 1
        if at < 0 or vmas[at].end < end:
            self._change_tree(tree, start, end, cpu, mapped=False)
            return None
        vma = vmas[at]
        low, high = vma.start, vma.end
        if low < start:
            vma.end = start
            vma = self._split_vma(vma, start, high, cpu)
            at += 1
            vmas.insert(at, vma)
        if end < high:
            vma.start = end
            vma = self._split_vma(vma, start, end, cpu)
        else:
            del vmas[at]
        cut_out(self.handle, tree.handle, cpu, self.node_of[cpu], self._maple_node, self.now_ns, low, start, end, high)
        return vma

    def _split_vma(self, vma: Vma, start: int, end: int, cpu: int) -> Vma:
        part = self._new_vma(start, end, vma.anon_vma)
        self.run("mmap_anon_area", part.holder, cpu)
        self.run("link_anon_vma", part.holder, cpu)
        return part

    def _drop_vmas(self, task: Task, cpu: int) -> None:
        """Give the objects of all of a task's vmas back, at its end."""
        while task.vmas:
            self._drop_vma(task.vmas.pop(), cpu)

    def _drop_vma(self, vma: Vma, cpu: int) -> None:
        """Give a vma's objects back, and the ``anon_vma`` if it was the last one that had it."""
        vma.anon_vma.vmas -= 1
        holders = [vma.holder] if vma.anon_vma.vmas else [vma.holder, vma.anon_vma.holder]
        for holder in holders:
            self.run("munmap_anon", holder, cpu)
            self.drop_holder(holder)
