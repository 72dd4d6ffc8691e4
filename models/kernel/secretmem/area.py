"""What policies share that take their chunks from an area set aside at boot."""

from __future__ import annotations

import heapq

from models.kernel.boot_area import alignment_pages, take_area
from models.kernel.pool_chunks import CHUNK_PAGES, claim_block
from models.kernel.secretmem.pool import ChunkPolicy

__all__ = ["AreaPolicy"]


class AreaPolicy(ChunkPolicy):
    """Pools fed by an area of a fixed size; what files give back returns to the area, never to the page allocator.

    Attributes:
        start_pfn: first page of the area; -1: there is none.
        area_pages: its size.
        low_chunks: fewest chunks that it has had left.
    """

    start_pfn = -1
    area_pages = 0
    low_chunks = 0

    def take_area(self, size_pages: int) -> None:
        """Set the area aside, 1G-aligned when twice its size exceeds 1 GiB; nothing for a size of 0."""
        self._chunks: list[int] = []
        if size_pages == 0:
            return
        state = self.kernel.state
        self.start_pfn, self.area_pages = take_area(state, size_pages, alignment_pages(size_pages)), size_pages
        claim_block(state.handle, self.start_pfn, size_pages)
        self._chunks.extend(range(self.start_pfn, self.start_pfn + size_pages, CHUNK_PAGES))
        self.low_chunks = len(self._chunks)

    def next_chunk(self) -> int:
        """Lowest chunk that no file has; -1: none is left."""
        if not self._chunks:
            return -1
        pfn = heapq.heappop(self._chunks)
        self.low_chunks = min(self.low_chunks, len(self._chunks))
        return pfn

    def put_back(self, pfn: int) -> None:
        """Give a chunk back to the area."""
        heapq.heappush(self._chunks, pfn)

    def results(self) -> dict[str, int]:
        """Size of the area and what was left of it at the worst."""
        return {"area_bytes": self.area_pages * 4096, "area_lowest_bytes": self.low_chunks * CHUNK_PAGES * 4096}
