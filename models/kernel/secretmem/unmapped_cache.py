"""Policy `unmapped_cache`: one cache of unmapped 2M blocks for all files (`__GFP_UNMAPPED` and its forerunners)."""

from __future__ import annotations

import heapq
from typing import Any

from models.kernel.entities import Mapping, SecretFile
from models.kernel.errors import FaultResult
from models.kernel.pages.layout import UNMOVABLE
from models.kernel.pool_chunks import CHUNK_ORDER, give_block, hand_out, take_back, take_block, unmap_block
from models.kernel.secretmem.base import Faults, Policy

__all__ = ["UnmappedCachePolicy"]


class UnmappedCachePolicy(Policy):
    """Pages come from blocks that left the direct map as a whole, lowest address first, and return to the cache.

    A block is 2 MiB, or the largest that can be had; its removal and one flush of all CPUs serve all its pages. When
    memory is short, blocks that no file uses go back to the direct map and to the page allocator. Limits are those of
    `page`; what the cache holds beyond the files' pages is charged to nobody.

    Attributes:
        blocks: order of each block by its first pfn.
        blocks_taken: blocks ever taken; blocks_given: given back under pressure.
    """

    def __init__(self, kernel: Any, options: Any) -> None:
        super().__init__(kernel, options)
        self.blocks: dict[int, int] = {}
        self.blocks_taken = 0
        self.blocks_given = 0
        self._in_use: dict[int, int] = {}
        self._free: list[int] = []
        self._small: dict[int, int] = {}  # first pfn of the block, by page, of blocks below 2 MiB

    def open(self, file: SecretFile) -> None:
        """A file notes which pages it has."""
        file.pool = []

    def fault(self, cpu: int, mapping: Mapping, count: int) -> Faults:
        """Hand out pages of the cache, with a block added whenever it is empty."""
        kernel, file = self.kernel, mapping.file
        assert file is not None
        for done in range(count):
            if not self._free and not self._grow(cpu):
                return Faults(done, FaultResult.OOM)
            pfn = heapq.heappop(self._free)
            handed = hand_out(
                kernel.handle, cpu, kernel.node_of[cpu], mapping.holder, file.holder, mapping.touched, pfn, False,
                kernel.node_cache, kernel.node_shift,
            )  # fmt: skip
            if not handed:
                heapq.heappush(self._free, pfn)
                return Faults(done, FaultResult.OOM)
            self._in_use[self._block_of(pfn)] += 1
            file.pool.append(pfn)
            mapping.touched += 1
            file.present += 1
        return Faults(count, FaultResult.DONE)

    def _block_of(self, pfn: int) -> int:
        return self._small.get(pfn, pfn >> CHUNK_ORDER << CHUNK_ORDER)

    def _grow(self, cpu: int) -> bool:
        """Add the largest block that is to be had, 2 MiB at the most."""
        kernel, node = self.kernel, self.kernel.node_of[cpu]
        for order in range(CHUNK_ORDER, -1, -1):
            pfn = int(take_block(kernel.handle, cpu, node, order, UNMOVABLE))
            if pfn < 0:
                continue
            if not unmap_block(kernel.handle, cpu, node, pfn, 1 << order, True):
                give_block(kernel.handle, cpu, pfn, order)
                return False
            self.blocks[pfn], self._in_use[pfn] = order, 0
            self.blocks_taken += 1
            self._free.extend(range(pfn, pfn + (1 << order)))
            if order < CHUNK_ORDER:
                self._small.update(dict.fromkeys(range(pfn, pfn + (1 << order)), pfn))
            return True
        return False

    def release(self, cpu: int, file: SecretFile) -> None:
        """Clear a file's pages and give them back to the cache; they stay unmapped."""
        for pfn in file.pool:
            take_back(self.kernel.handle, pfn, True)
            self._in_use[self._block_of(pfn)] -= 1
            heapq.heappush(self._free, pfn)
        self.kernel.forget_pages(file)
        file.pool = None

    def shrink(self, cpu: int) -> int:
        """Give blocks back that no file uses."""
        idle = [pfn for pfn, used in self._in_use.items() if used == 0]
        given = 0
        for pfn in idle:
            order = self.blocks.pop(pfn)
            del self._in_use[pfn]
            give_block(self.kernel.handle, cpu, pfn, order)
            given += 1 << order
        if idle:
            self._free = [pfn for pfn in self._free if self._block_of(pfn) in self.blocks]
            heapq.heapify(self._free)
            self._small = {pfn: start for pfn, start in self._small.items() if start in self.blocks}
            self.blocks_given += len(idle)
        return given

    def results(self) -> dict[str, int]:
        """Blocks taken and given back."""
        return {"blocks_taken": self.blocks_taken, "blocks_given": self.blocks_given}
