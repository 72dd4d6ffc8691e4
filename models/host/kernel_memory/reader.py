"""What the running kernel's memory tells of its page allocator and its direct map, in one handle."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from models.host.kernel_memory.free_lists import FreeLists, Lists
from models.host.kernel_memory.memory import KernelMemory, KernelMemoryError
from models.host.kernel_memory.page_tables import PageTables
from models.host.kernel_memory.type_info import TypeInfo, TypeInfoError

__all__ = ["KernelReader"]


class KernelReader(ExitStack):
    """Reads lists and tiling. A context manager: it holds programs that the kernel has loaded for it."""

    def __init__(self, free_blocks: int, cpus: Sequence[int], pageblock_order: int) -> None:
        """Find everything, so that reading it is quick.

        Args:
            free_blocks: how many blocks lie on the lists now, about.
            cpus: numbers of the possible CPUs.
            pageblock_order: order of a pageblock.

        Raises:
            KernelMemoryError: This kernel, or this user, cannot.
        """
        super().__init__()
        try:
            types = TypeInfo.of_this_kernel()
            memory = self.enter_context(KernelMemory(2 * free_blocks + _SPARE_ELEMENTS))
            self._tables = PageTables(memory, types)
            self._lists = FreeLists(memory, types, self._tables, cpus, pageblock_order)
        except (KernelMemoryError, TypeInfoError) as reason:
            self.close()
            raise KernelMemoryError(str(reason)) from None

    def lists(self) -> Lists:
        """Return what lies on the lists now.

        Raises:
            KernelMemoryError: They change too fast.
        """
        return self._lists.read()

    def tiles(self, end_pfn: int) -> tuple[tuple[int, int, int], ...]:
        """Return the direct map's tiling up to a page frame, see `PageTables.tiles`."""
        return self._tables.tiles(end_pfn)


_SPARE_ELEMENTS = 1 << 17
"""What processes may free between counting and reading, in blocks."""
