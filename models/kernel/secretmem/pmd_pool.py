"""Policy `pmd_pool`: a pool of 2M chunks per file, filled from the page allocator (v2 to v6 of the patch set, 2020)."""

from __future__ import annotations

from typing import Any, Literal

from models.kernel.entities import Mapping, SecretFile
from models.kernel.pool_chunks import CHUNK_PAGES, add_chunk, give_chunk, unmap_block
from models.kernel.secretmem.base import PolicyOptions
from models.kernel.secretmem.pool import ChunkPolicy

__all__ = ["PoolOptions", "PoolPolicy"]


class PoolOptions(PolicyOptions):
    """Options of pools that the page allocator feeds.

    Attributes:
        version: of the patch set. `v6`: the flush after a chunk's removal reaches this CPU alone, nobody is charged
            for chunks, pages are not cleared when they go. `v7`: all CPUs are flushed, control groups are charged.
            `v8`: pages are cleared too.
        removal: `chunk`: the whole 2M leaves the direct map when it joins the pool; `page` (a what-if): each page
            when it is handed out.
        flush: `local` or `all`, where it shall differ from the version's.
        migratetype: of the order-9 request: `movable` as v6's mask makes it, `unmovable` as the recorded kernels'.
    """

    version: Literal["v6", "v7", "v8"] = "v6"
    removal: Literal["chunk", "page"] = "chunk"
    flush: Literal["local", "all"] | None = None
    migratetype: Literal["movable", "unmovable"] = "movable"


class PoolPolicy(ChunkPolicy):
    """Chunks are order-9 blocks, without an order-0 fallback: no block, no page."""

    Options: type[PolicyOptions] = PoolOptions

    def __init__(self, kernel: Any, options: PoolOptions) -> None:
        super().__init__(kernel, options)
        self.movable = options.migratetype == "movable"
        self.flush_all = (options.flush or ("local" if options.version == "v6" else "all")) == "all"
        self.clear = options.version == "v8"
        self.charge_chunks = options.version != "v6"
        self.remove_pages = options.removal == "page"

    def take_chunk(self, cpu: int, mapping: Mapping) -> int:
        """Ask for an order-9 block; -1 when there is none."""
        kernel = self.kernel
        return int(
            add_chunk(kernel.handle, cpu, kernel.node_of[cpu], mapping.holder, mapping.touched, self.movable)
        )

    def remove_chunk(self, cpu: int, pfn: int) -> bool:
        """Take the chunk out of the direct map, where it goes as a whole."""
        kernel = self.kernel
        return self.remove_pages or bool(
            unmap_block(kernel.handle, cpu, kernel.node_of[cpu], pfn, CHUNK_PAGES, self.flush_all)
        )

    def give_chunk(self, cpu: int, pfn: int, file: SecretFile) -> None:
        """Back to the direct map, then to the page allocator, one by one through the per-CPU list."""
        give_chunk(self.kernel.handle, cpu, pfn, not self.remove_pages, self.clear)
