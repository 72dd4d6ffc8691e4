"""Reading this machine at one moment: everything that changes fast, into memory that is there before."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from models.host import procfs
from models.host.kernel_memory.free_lists import Lists
from models.host.kernel_memory.memory import KernelMemoryError
from models.host.kernel_memory.reader import KernelReader
from models.host.sources import PAGE_TABLES, Sources, Unreadable, why_unreadable

__all__ = ["Capture", "Captured"]

_TEXTS = ("zoneinfo", "meminfo", "vmstat", "buddyinfo", "pagetypeinfo")
_ATTEMPTS = 12
_QUIET_KB = 1024
_USUAL_PAGEBLOCK_ORDER = 9


@dataclass(frozen=True)
class Captured(Sources):
    """This machine at one moment, to be looked at later: looking takes memory, and giving it back changes the lists.

    Attributes:
        texts: files of `/proc`; or why they cannot be read.
        flags: `/proc/kpageflags`; or why it cannot be read.
        page_tables: the kernel's dump of its page tables; or why it cannot be read.
        memory: the allocator's lists and the tiling of the direct map; or why they cannot be read.
    """

    texts: Mapping[str, str | Unreadable] = field(default_factory=dict)
    flags: bytearray | Unreadable = field(default_factory=bytearray)
    page_tables: str | Unreadable = field(default_factory=lambda: Unreadable("not captured"))
    memory: tuple[Lists, Sequence[tuple[int, int, int]]] | Unreadable = field(
        default_factory=lambda: Unreadable("not captured")
    )

    def text(self, name: str) -> str:
        """Return a file of `/proc` as it was."""
        found = self.texts.get(name)
        if isinstance(found, Unreadable):
            raise found
        return super().text(name) if found is None else found

    def sys_text(self, name: str) -> str:
        """Return a file of `/sys`, the page tables as they were."""
        if name != PAGE_TABLES:
            return super().sys_text(name)
        if isinstance(self.page_tables, Unreadable):
            raise self.page_tables
        return self.page_tables

    def words(self, name: str, start: int, count: int) -> bytes:
        """Return words of `/proc/kpageflags` as they were."""
        if isinstance(self.flags, Unreadable):
            raise self.flags
        return bytes(self.flags[start * 8 : (start + count) * 8])

    def lists(self) -> Lists:
        """Return the page allocator's lists as they were."""
        if isinstance(self.memory, Unreadable):
            raise self.memory
        return self.memory[0]

    def tiles(self) -> Sequence[tuple[int, int, int]]:
        """Return the tiling of the direct map as it was."""
        if isinstance(self.memory, Unreadable):
            raise self.memory
        return self.memory[1]


class Capture(ExitStack):
    """All that it takes to read this machine in a moment. A context manager."""

    def __init__(self) -> None:
        """Get ready: find out how many page frames there are, and where the kernel keeps its lists."""
        super().__init__()
        self._sources = Sources()
        self._end_pfn = max((zone.fields["start_pfn"] + zone.fields["spanned"] for zone in self._zones()), default=0)
        self._flags: bytearray | Unreadable = Unreadable("/proc/zoneinfo says nothing of page frames")
        if self._end_pfn:
            self._flags = bytearray(8 * self._end_pfn)
            try:
                _fill(self._flags, self._sources.proc / "kpageflags")
            except OSError as error:
                self._flags = Unreadable(why_unreadable("/proc/kpageflags", error))
        self._reader: KernelReader | Unreadable
        try:
            reader = KernelReader(self._free_blocks(), self._possible_cpus(), self._pageblock_order())
            self._reader = self.enter_context(reader)
        except KernelMemoryError as reason:
            self._reader = Unreadable(f"the kernel's memory: {reason}")

    def now(self) -> Captured:
        """Read the machine.

        Others allocate and free meanwhile: what was read while the number of free pages moved much is read again. The
        lists are read last, as they change most; where they can be read, flags tell no more than what types pageblocks
        have, and a large machine has many flags.
        """
        texts: dict[str, str | Unreadable] = {}
        page_tables = self._page_tables()
        lists_known = not isinstance(self._reader, Unreadable)
        for attempt in range(_ATTEMPTS):
            if isinstance(self._flags, bytearray) and not (lists_known and attempt):
                _fill(self._flags, self._sources.proc / "kpageflags")
            for name in _TEXTS:
                texts[name] = self._text(name)
            memory = self.memory()
            if abs(_free_kb(texts["meminfo"]) - _free_kb(self._text("meminfo"))) <= _QUIET_KB:
                break
            time.sleep(0.02)
        return Captured(texts=texts, flags=self._flags, page_tables=page_tables, memory=memory)

    def _text(self, name: str) -> str | Unreadable:
        try:
            return self._sources.text(name)
        except Unreadable as reason:
            return reason

    def _page_tables(self) -> str | Unreadable:
        try:
            return self._sources.sys_text(PAGE_TABLES)
        except Unreadable as reason:
            return reason

    def memory(self) -> tuple[Lists, Sequence[tuple[int, int, int]]] | Unreadable:
        """Return the allocator's lists and the tiling of the direct map, or why they cannot be read."""
        if isinstance(self._reader, Unreadable):
            return self._reader
        try:
            tiles = self._reader.tiles(self._end_pfn)
            return self._reader.lists(), tiles
        except KernelMemoryError as reason:
            return Unreadable(f"the kernel's memory: {reason}")

    def _zones(self) -> list[procfs.ZoneInfo]:
        try:
            return procfs.parse_zoneinfo(self._sources.text("zoneinfo"))
        except (Unreadable, procfs.ProcError):
            return []

    def _free_blocks(self) -> int:
        try:
            free = procfs.parse_buddyinfo(self._sources.text("buddyinfo"))
        except (Unreadable, procfs.ProcError):
            return 0
        listed = sum(lists.get("count", 0) for zone in self._zones() for lists in zone.pagesets.values())
        return listed + sum(sum(blocks) for blocks in free.values())

    def _possible_cpus(self) -> tuple[int, ...]:
        try:
            return procfs.parse_list(self._sources.sys_text("devices/system/cpu/possible"))
        except (Unreadable, ValueError):
            return tuple(range(os.cpu_count() or 1))

    def _pageblock_order(self) -> int:
        try:
            return procfs.parse_pagetypeinfo(self._sources.text("pagetypeinfo")).pageblock_order
        except (Unreadable, procfs.ProcError):
            return _USUAL_PAGEBLOCK_ORDER


def _fill(buffer: bytearray, path: Path) -> None:
    view, at = memoryview(buffer), 0
    with path.open("rb", buffering=0) as file:
        while at < len(buffer) and (read := file.readinto(view[at : at + (1 << 20)])):
            at += read


def _free_kb(meminfo: str | Unreadable) -> int:
    text = "" if isinstance(meminfo, Unreadable) else meminfo
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("MemFree:")), 0)
