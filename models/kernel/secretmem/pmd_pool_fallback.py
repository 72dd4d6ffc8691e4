"""Policy `pmd_pool_fallback`: a 2M pool per file, single pages when there is no 2M block (Rapoport, 2021-02-02)."""

from __future__ import annotations

from typing import Any, Literal

from models.kernel.entities import Mapping, SecretFile
from models.kernel.errors import FaultResult
from models.kernel.pool_chunks import CHUNK_PAGES
from models.kernel.secret_pages import ALL_PAGES, OUT_OF_MEMORY, fault_page, release_pages
from models.kernel.secretmem.base import PolicyOptions
from models.kernel.secretmem.pmd_pool import PoolOptions, PoolPolicy

__all__ = ["FallbackOptions", "FallbackPolicy"]


class FallbackOptions(PolicyOptions):
    """Options of the pool with a fallback.

    Attributes:
        migratetype: of the order-9 request.
    """

    migratetype: Literal["movable", "unmovable"] = "movable"


class FallbackPolicy(PoolPolicy):
    """A 2M chunk with a flush of all CPUs; without one, an order-0 page that leaves the direct map by itself.

    Limits are those of `page`: control groups are charged for pages of files, not for chunks.

    Attributes:
        fallbacks: pages that were taken one by one.
    """

    Options = FallbackOptions
    costly = False
    group_charge = "page"

    def __init__(self, kernel: Any, options: FallbackOptions) -> None:
        super().__init__(kernel, PoolOptions(version="v8", migratetype=options.migratetype))
        self.charge_chunks = False
        self.fallbacks = 0

    def without_chunk(self, cpu: int, mapping: Mapping) -> FaultResult:
        """Take one page, as the policy `page` does."""
        kernel, file = self.kernel, mapping.file
        assert file is not None
        ended = fault_page(
            kernel.handle, cpu, kernel.node_of[cpu], mapping.holder, file.holder, mapping.touched,
            kernel.node_cache, kernel.node_shift,
        )  # fmt: skip
        if ended == OUT_OF_MEMORY:
            return FaultResult.OOM
        self.fallbacks += 1
        return FaultResult.DONE

    def release(self, cpu: int, file: SecretFile) -> None:
        """Give single pages back, then the chunks."""
        handed_out = sum(CHUNK_PAGES for _ in file.pool.chunks) - file.pool.left
        release_pages(self.kernel.handle, cpu, file.holder, ALL_PAGES)
        self.kernel.state.holders[file.holder]["present"] = handed_out
        super().release(cpu, file)

    def results(self) -> dict[str, int]:
        """How many pages were taken one by one."""
        return {"fallbacks": self.fallbacks}
