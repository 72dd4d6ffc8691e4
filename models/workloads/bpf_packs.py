"""A pack of BPF programs: 2 MiB of code, handed out in chunks of 64 bytes, first fit [5.18 `bpf_prog_pack_alloc`]."""

from __future__ import annotations

from bisect import insort
from typing import Final

from models.kernel.code import Area

__all__ = ["CHUNK_BYTES", "PACK_BYTES", "Pack"]

CHUNK_BYTES: Final = 64
PACK_BYTES: Final = 2 << 20
_CHUNKS: Final = PACK_BYTES // CHUNK_BYTES


class Pack:
    """One pack.

    Attributes:
        area: its pages.
    """

    __slots__ = ("_used", "area")

    def __init__(self, area: Area) -> None:
        self.area = area
        self._used: list[tuple[int, int]] = []  # (first chunk, chunks), ascending

    @property
    def empty(self) -> bool:
        """Whether no program is in it."""
        return not self._used

    def place(self, chunks: int) -> int | None:
        """Take the first gap of a length; returns its first chunk, or None when there is no such gap."""
        end = 0
        for start, length in self._used:
            if start - end >= chunks:
                break
            end = start + length
        if end + chunks > _CHUNKS:
            return None
        insort(self._used, (end, chunks))
        return end

    def remove(self, start: int) -> None:
        """Free the program that begins at a chunk.

        Raises:
            ValueError: none does.
        """
        for at, (first, _) in enumerate(self._used):
            if first == start:
                del self._used[at]
                return
        raise ValueError(f"no program begins at chunk {start} of the pack")
