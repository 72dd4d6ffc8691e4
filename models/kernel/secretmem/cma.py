"""Policy `cma`: pools fed from an area of contiguous memory (v8 to v16 of the patch set)."""

from __future__ import annotations

import errno

from models.kernel.entities import Mapping, SecretFile
from models.kernel.pool_chunks import CHUNK_PAGES, charge_chunk, reset_chunk, restore_block, unmap_block
from models.kernel.secretmem.area import AreaPolicy
from models.kernel.secretmem.base import PolicyOptions
from simcore.units import Bytes

__all__ = ["CmaOptions", "CmaPolicy"]

_PAGE_BYTES = 4096


class CmaOptions(PolicyOptions):
    """Options of the area.

    Attributes:
        reserve: its size, a multiple of 2 MiB; 0: there is no area, and so no secret memory.
    """

    reserve: Bytes = 0


class CmaPolicy(AreaPolicy):
    """2M chunks of the area leave the direct map one by one, with a flush of all CPUs; the area is a hard cap.

    A simplification: the area lies idle while no file wants it. The kernel lends it to movable pages meanwhile and
    moves them away when a chunk is asked for, which takes time and may fail.
    """

    Options = CmaOptions
    charge_chunks = True

    def boot(self) -> None:
        """Set the area aside; it stays mapped."""
        self.take_area(self.options.reserve // _PAGE_BYTES)

    def open(self, file: SecretFile) -> None:
        """Start with an empty pool.

        Raises:
            KernelRefusal: ENOMEM when there is no area.
        """
        if self.start_pfn < 0:
            raise self.kernel.limits.refuse(errno.ENOMEM, "there is no area for secret memory")
        super().open(file)

    def take_chunk(self, cpu: int, mapping: Mapping) -> int:
        """Take the lowest chunk of the area out of the direct map (`cma_alloc`)."""
        kernel = self.kernel
        pfn = self.next_chunk()
        if pfn < 0:
            return -1
        charge_chunk(kernel.handle)
        if not unmap_block(kernel.handle, cpu, kernel.node_of[cpu], pfn, CHUNK_PAGES, True):
            self.put_back(pfn)
            return -1
        return pfn

    def give_chunk(self, cpu: int, pfn: int, file: SecretFile) -> None:
        """Map a chunk again, clear it, give it back to the area."""
        restore_block(self.kernel.handle, pfn, CHUNK_PAGES)
        reset_chunk(self.kernel.handle, pfn, True)
        self.put_back(pfn)
