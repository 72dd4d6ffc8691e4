"""System calls that map and unmap: secret files, ordinary memory, and what reserves room for them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Final

from models.kernel.address_space import ALL_BATCHES, adopt_tables, end_unmapping, gather, give_gathered, place
from models.kernel.anonymous_vmas import AnonymousVmas
from models.kernel.entities import Mapping, SecretFile, Task
from models.kernel.mapping_tree import MappingTree
from models.kernel.mapping_tree_slabs import cut_off

__all__ = ["Mappings"]

ORDINARY_MAPPING_PAGES: Final = 1 << 30
"""Length of the mapping that a task's ordinary memory grows in."""


class Mappings(AnonymousVmas):
    """A kernel that maps memory."""

    def mmap(
        self, task: Task, file: SecretFile, pages: int, cpu: int, *, private: bool = False, executable: bool = False,
        within: Mapping | None = None,
    ) -> Mapping:
        """Map a secret file; nothing is populated.

        Args:
            within: a reserved area (`reserve`) whose next free pages it takes (MAP_FIXED).
            private: MAP_PRIVATE instead of MAP_SHARED.
            executable: with PROT_EXEC.

        Raises:
            KernelRefusal: EPERM for an executable mapping; EINVAL for a private one or one of no pages; EAGAIN over
                RLIMIT_MEMLOCK (`per_mm`).
        """
        self.spent_ns += self._ns["mmap"]
        if executable:
            raise self.limits.refuse(errno.EPERM, "secret files lie on a mount without execution")
        if pages <= 0 or private:
            raise self.limits.refuse(errno.EINVAL, f"a mapping of {pages} pages, {'private' if private else 'shared'}")
        self.limits.check_mapping(task.user, task.locked_pages, pages)
        locked = self.limits.accounting == "per_mm"
        task.mapped += 1
        mapping = self._map(task, file, pages, locked=locked, within=within)
        if within is not None and task.tree is None:
            # What lies there is split and unmapped first.
            self.spent_ns += 2 * self._ns["mmap"]
        if task.tree is not None:
            self.run("mmap_area", mapping.holder, cpu)
            if within is None:
                self._change_tree(task.tree, mapping.start, mapping.start + pages, cpu, mapped=True)
            else:
                self._cut_off(task.tree, mapping, within, cpu)
        elif within is None and self._splits_leaf(task):
            self.run("mmap_area", mapping.holder, cpu)
            self.run("split_leaf", task.holder, cpu)
        elif within is None:
            tall = task.generation > 1 and task.mapped == 2
            self.run("mmap_file", mapping.holder, cpu, self.programs.flag("tall_tree") if tall else 0)
        else:
            self.run("mmap_fixed", mapping.holder, cpu)
        if locked:
            task.locked_pages += pages
        return mapping

    def reserve(self, task: Task, pages: int, cpu: int) -> Mapping:
        """Reserve address space for secret files to be mapped into, one behind the other (PROT_NONE)."""
        self.spent_ns += self._ns["mmap"]
        mapping = self._map(task, None, pages, locked=False)
        self._note_mapping(task, mapping, cpu)
        return mapping

    def map_ordinary(self, task: Task, pages: int, cpu: int = 0) -> Mapping:
        """Map ordinary memory of a length."""
        mapping = self._map(task, None, pages, locked=False)
        task.mapped += 1
        if task.tree is not None:
            self._join_vma(task, task.tree, mapping, cpu)
            return mapping
        self._note_mapping(task, mapping, cpu)
        self.run("first_anon_fault", mapping.holder, cpu)
        return mapping

    def _note_mapping(self, task: Task, mapping: Mapping, cpu: int) -> None:
        """Take what the kernel notes an ordinary mapping with."""
        if task.tree is not None:
            self.run("mmap_anon_area", mapping.holder, cpu)
            self._change_tree(task.tree, mapping.start, mapping.start + mapping.pages, cpu, mapped=True)
        elif self._splits_leaf(task):
            self.run("mmap_anon_area", mapping.holder, cpu)
            self.run("split_leaf", task.holder, cpu)
        else:
            self.run("mmap_anon", mapping.holder, cpu)

    def _splits_leaf(self, task: Task) -> bool:
        """Whether a mapping just made is a child's first: those that it inherits fill a node of the tree."""
        return task.generation > 1 and task.mapped == 1

    def _cut_off(self, tree: MappingTree, mapping: Mapping, within: Mapping, cpu: int) -> None:
        """Put a mapping in place of the front of what is left of a reserved area (`mmap_region` with MAP_FIXED)."""
        worst = cut_off(
            self.handle, tree.handle, cpu, self.node_of[cpu], self._maple_node, self.now_ns,
            mapping.start + mapping.pages, within.start + within.pages - 1,
        )  # fmt: skip
        self.spent_ns += 3 * self._ns["tree_node"] * worst

    def map_shared(self, task: Task, pages: int) -> Mapping:
        """Map ordinary memory that the task will share with its children."""
        mapping = self._map(task, None, pages, locked=False)
        mapping.shared = True
        return mapping

    def ordinary(self, task: Task) -> Mapping:
        """The mapping of a task's ordinary pages, made when it is first asked for."""
        if task.ordinary is None:
            task.ordinary = self._map(task, None, ORDINARY_MAPPING_PAGES, locked=False)
        return task.ordinary

    def _map(
        self, task: Task, file: SecretFile | None, pages: int, *, locked: bool, start: int | None = None,
        within: Mapping | None = None,
    ) -> Mapping:  # fmt: skip
        mapping = Mapping(self.new_holder(), file, pages, locked=locked)
        if within is not None:
            used = within.inside[-1].start + within.inside[-1].pages if within.inside else within.start
            if used + pages > within.start + within.pages:
                raise self.limits.refuse(errno.ENOMEM, f"{pages} pages do not fit into the reserved area")
            mapping.start = used
            within.inside.append(mapping)
        else:
            if start is None:
                mapping.start = task.areas.place(pages)
            else:
                mapping.start = start
                task.areas.occupy(start, pages)
            task.mappings.append(mapping)
        mapping.tables = task.areas.share(mapping.start, pages, inside=within is not None)
        place(self.handle, task.holder, mapping.holder, mapping.start, pages, *mapping.tables)
        if file is not None:
            file.references += 1
        return mapping

    def munmap(self, task: Task, mapping: Mapping, cpu: int) -> None:
        """Unmap; a secret file's pages stay with the file."""
        for _ in self.munmap_parts(task, mapping, cpu, ALL_BATCHES):
            pass

    def munmap_parts(self, task: Task, mapping: Mapping, cpu: int, batches: int = 1) -> Iterator[None]:
        """Unmap, part by part; all parts have to be had.

        Args:
            batches: of pages that a part frees at the most, see `give_gathered`.

        Yields:
            Where the kernel asks whether to give way: after each part.
        """
        files_pages = sum(each.touched for each in (mapping, *mapping.inside) if each.file)
        self.spent_ns += self._ns["munmap"] + self._ns["unmap_page"] * files_pages
        task.mappings.remove(mapping)
        if mapping is task.ordinary:
            task.ordinary = None
        if mapping.locked:
            task.locked_pages -= mapping.pages
        return self._unmap_parts(task, mapping, cpu, batches)

    def _unmap(self, task: Task, mapping: Mapping, cpu: int) -> None:
        for _ in self._unmap_parts(task, mapping, cpu, ALL_BATCHES):
            pass

    def _unmap_parts(self, task: Task, mapping: Mapping, cpu: int, batches: int) -> Iterator[None]:
        if task.user.group is not None:
            task.user.group.charge(-mapping.charged_pages)
        file_pages = mapping.touched if mapping.file else 0
        for inner in mapping.inside:
            left = task.areas.leave(inner.start, inner.pages, *inner.tables)
            adopt_tables(self.handle, inner.holder, mapping.holder, left)
            file_pages += inner.touched
            if inner.locked:
                task.locked_pages -= inner.pages
        vma = None
        if task.tree is not None and not task.ending:
            vma = self._cut_out(task, task.tree, mapping, cpu)
        gone = task.areas.leave(mapping.start, mapping.pages, *mapping.tables)
        task.areas.vacate(mapping.start, mapping.pages)
        first, given = gather(self.handle, cpu, self.node_of[cpu], mapping.holder, file_pages, gone), 0
        while part := give_gathered(self.handle, cpu, mapping.holder, given, batches):
            given += part
            yield
        end_unmapping(self.handle, cpu, mapping.holder, first)
        if vma is not None:
            self._drop_vma(vma, cpu)
        if task.tree is None and not task.ending:
            self.run("munmap", mapping.holder, cpu)
        for each in (*mapping.inside, mapping):
            self.run("munmap_anon" if each.file is None else "munmap_file", each.holder, cpu)
            self.drop_holder(each.holder)
            if each.file is not None:
                self._drop(each.file, cpu)
        mapping.inside.clear()
