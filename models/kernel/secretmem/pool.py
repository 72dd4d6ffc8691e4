"""What all policies with a pool per file share: chunks of 2 MiB, handed out page by page, kept until the file goes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

from models.kernel.entities import Mapping, SecretFile
from models.kernel.errors import FaultResult
from models.kernel.pool_chunks import CHUNK_PAGES, hand_out
from models.kernel.secretmem.base import AtHand, Faults, Policy

__all__ = ["ChunkPolicy", "Pool"]


class Pool:
    """A file's pool (gen_pool).

    Chunks are used up one after the other: pages come back to a pool only when its file goes, so at most one chunk
    has pages left, and first fit is the next page.

    Attributes:
        chunks: (first pfn, holder and vmap area of its bookkeeping) of each chunk, oldest first.
        next_pfn: page that is handed out next.
        left: pages left in the chunk.
    """

    __slots__ = ("chunks", "left", "next_pfn")

    def __init__(self) -> None:
        self.chunks: list[tuple[int, int, int]] = []
        self.next_pfn = 0
        self.left = 0


class ChunkPolicy(Policy):
    """Per-file pools of 2M chunks; where chunks come from is a policy's own.

    Attributes:
        remove_pages: each page leaves the direct map when it is handed out, not the chunk as a whole.
        charge_chunks: control groups are charged for chunks; otherwise for nothing.
    """

    costly = True
    group_charge: Literal["page", "policy"] = "policy"
    remove_pages = False
    charge_chunks = False

    @abstractmethod
    def take_chunk(self, cpu: int, mapping: Mapping) -> int:
        """Take a chunk for a mapping's next page, -1: there is none."""

    def remove_chunk(self, cpu: int, pfn: int) -> bool:
        """Take a chunk out of the direct map, once the pool knows of it; whether there was memory for tables."""
        return True

    @abstractmethod
    def give_chunk(self, cpu: int, pfn: int, file: SecretFile) -> None:
        """Give a chunk back; its pages still bear their file's mark."""

    def without_chunk(self, cpu: int, mapping: Mapping) -> FaultResult:
        """What a fault comes to that finds the pool empty and gets no chunk."""
        return FaultResult.OOM

    def open(self, file: SecretFile) -> None:
        """Start with an empty pool."""
        file.pool = Pool()

    def fault(self, cpu: int, mapping: Mapping, count: int) -> Faults:
        """Hand out pages of the pool, with a chunk added whenever it is empty."""
        kernel, file = self.kernel, mapping.file
        assert file is not None
        for done in range(count):
            pool: Pool = file.pool
            result = FaultResult.DONE if pool.left else self._grow(cpu, mapping, pool)
            if result is FaultResult.DONE:
                handed = hand_out(
                    kernel.handle, cpu, kernel.node_of[cpu], mapping.holder, file.holder, mapping.touched,
                    pool.next_pfn, self.remove_pages, kernel.node_cache, kernel.node_shift,
                )  # fmt: skip
                if not handed:
                    return Faults(done, FaultResult.OOM)
                pool.next_pfn += 1
                pool.left -= 1
            elif result is FaultResult.OOM:
                result = self.without_chunk(cpu, mapping)
            if result is not FaultResult.DONE:
                return Faults(done, result)
            mapping.touched += 1
            file.present += 1
        return Faults(count, FaultResult.DONE)

    def at_hand(self, file: SecretFile) -> AtHand:
        """What is left of the chunk."""
        return AtHand(file.pool.next_pfn, file.pool.left, self.remove_pages)

    def handed_out(self, file: SecretFile, pages: int) -> None:
        """Take pages from what is left of the chunk."""
        file.pool.next_pfn += pages
        file.pool.left -= pages

    def _grow(self, cpu: int, mapping: Mapping, pool: Pool) -> FaultResult:
        """Add a chunk to a pool, with the kernel objects that keep account of it."""
        kernel, file = self.kernel, mapping.file
        assert file is not None
        group = file.user.group if self.charge_chunks else None
        if group is not None and group.room_pages() < CHUNK_PAGES:
            group.failures += 1
            return FaultResult.GROUP_OOM
        pfn = self.take_chunk(cpu, mapping)
        if pfn < 0:
            return FaultResult.OOM
        area, holder = kernel.vmap_areas.take(cpu), kernel.new_holder()
        flags = kernel.vmap_flags(area) if area >= 0 else 0
        noted = area >= 0 and kernel.run("pool_chunk", holder, cpu, flags)
        if noted and flags:
            kernel.vmap_areas.note_table()
        if not noted or not self.remove_chunk(cpu, pfn):
            self.give_chunk(cpu, pfn, file)
            self._forget_chunk(cpu, holder, area)
            return FaultResult.OOM
        if group is not None:
            group.charge(CHUNK_PAGES)
        pool.chunks.append((pfn, holder, area))
        pool.next_pfn, pool.left = pfn, CHUNK_PAGES
        return FaultResult.DONE

    def _forget_chunk(self, cpu: int, holder: int, area: int) -> None:
        if area >= 0:
            self.kernel.vmap_areas.give(cpu, area)
        self.kernel.run("close_chunk", holder, cpu)
        self.kernel.drop_holder(holder)

    def release(self, cpu: int, file: SecretFile) -> None:
        """Give all chunks back, the newest first, as the list of a pool's chunks has them."""
        group = file.user.group if self.charge_chunks else None
        for pfn, _, _ in reversed(file.pool.chunks):
            self.give_chunk(cpu, pfn, file)
            if group is not None:
                group.charge(-CHUNK_PAGES)
        for _, holder, area in reversed(file.pool.chunks):
            self._forget_chunk(cpu, holder, area)
        self.kernel.forget_pages(file)
        file.pool = None
