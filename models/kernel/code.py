"""Kernel memory that holds code: vmalloc areas made read-only and executable, reset and freed [6.1 mm/vmalloc.c].

Modules, BPF programs and tracing trampolines all live in such areas. Only the attributes of the direct map's aliases
are kept: they become read-only with the area (that the area is executable does not touch them), and lose their GLOBAL
bit when the area is freed. An area's descriptor and its array of pages, some hundred bytes, are left out.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from models.kernel.attributes import change_chain
from models.kernel.code_pages import AREA, give_area, reset_area, take_area, take_huge_area
from models.kernel.direct_map import READ_ONLY
from models.kernel.flush import flush_kernel

if TYPE_CHECKING:
    from models.kernel.kernel import Kernel

__all__ = ["HUGE_PAGES", "Area", "CodeSpace"]

HUGE_PAGES: Final = 512


class Area:
    """A vmalloc area.

    Attributes:
        holder: its number as a holder of pages.
        pages: its length.
        blocks: how many blocks it consists of, from its start on.
        protected: whether its aliases in the direct map have been changed (`VM_FLUSH_RESET_PERMS` has work to do).
    """

    __slots__ = ("blocks", "holder", "pages", "protected")

    def __init__(self, holder: int, pages: int, blocks: int) -> None:
        self.holder = holder
        self.pages = pages
        self.blocks = blocks
        self.protected = False


class CodeSpace:
    """The part of the kernel's address space that code lives in.

    Its page tables are taken as it grows, one per 2 MiB, and stay.

    Attributes:
        pages: mapped at present.
        flush_ceiling_pages: above this a flush is of everything (`tlb_single_page_flush_ceiling`).
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.pages = 0
        self.flush_ceiling_pages = kernel.costs.flush.ceiling_pages
        self._tables = kernel.new_holder()
        self._covered_pages = 0

    def allocate(self, cpu: int, pages: int, *, huge: bool = False) -> Area:
        """Map an area of single pages, or as far as possible of 2M blocks (`module_alloc`, `vmalloc_huge`).

        Raises:
            KernelRefusal: ENOMEM.
        """
        kernel, node = self.kernel, self.kernel.node_of[cpu]
        holder = kernel.new_holder()
        blocks = int(take_huge_area(kernel.handle, cpu, node, holder, pages // HUGE_PAGES)) if huge else 0
        single = pages - blocks * HUGE_PAGES
        there = take_area(kernel.handle, cpu, node, holder, single, True) if single else True
        while there and self._covered_pages < self.pages + pages:
            there = take_area(kernel.handle, cpu, node, self._tables, 1, False)
            self._covered_pages += HUGE_PAGES
        if not there:
            give_area(kernel.handle, cpu, holder)
            kernel.drop_holder(holder)
            raise kernel.limits.refuse(errno.ENOMEM, f"no memory for {pages} pages of code")
        self.pages += pages
        return Area(holder, pages, blocks + single)

    def protect(self, cpu: int, area: Area, blocks: int, *, collapse: bool = False) -> None:
        """Make the first blocks of an area read-only and executable (`set_memory_ro`, `set_memory_x`).

        Args:
            collapse: by `set_memory_rox`, which asks for large pages where the kernel merges on request.
        """
        kernel = self.kernel
        if not kernel.can_set_direct_map or not blocks:
            return
        change_chain(kernel.handle, cpu, kernel.node_of[cpu], area.holder, AREA, blocks, READ_ONLY, 0)
        flush_kernel(kernel.handle, blocks > self.flush_ceiling_pages)
        area.protected = True
        if collapse:
            kernel.merging.asked(cpu, area.holder, AREA)
        kernel.merging.changed(cpu)

    def free(self, cpu: int, area: Area) -> None:
        """Reset what was protected, and free the area (`vfree`): all of its pages, those that hold data too."""
        kernel = self.kernel
        if area.protected:
            reset_area(kernel.handle, cpu, kernel.node_of[cpu], area.holder)
        give_area(kernel.handle, cpu, area.holder)
        kernel.merging.changed(cpu)
        self.pages -= area.pages
        kernel.drop_holder(area.holder)
