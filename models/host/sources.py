"""Where a snapshot reads: this machine's `/proc` and `/sys`, or a directory with copies of their files."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "PAGE_TABLES", "Captured", "Sources", "Unreadable", "capture", "page_tables_now", "unmarked_now",
]  # fmt: skip


PAGE_TABLES = "kernel/debug/page_tables/kernel"
"""Below `/sys`, where debugfs is mounted and the kernel was built with CONFIG_PTDUMP_DEBUGFS; for root."""


class Unreadable(Exception):  # noqa: N818 - a gap in a snapshot, not a fault
    """A file that is not there or may not be read; the text says which and why."""


@dataclass(frozen=True)
class Sources:
    """Files of one machine.

    Attributes:
        proc: `/proc`, or a directory of copies.
        sys: `/sys`, or a directory of copies.
        live: whether this is the machine at hand, so that the CPU and the kernel may be asked themselves.
    """

    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    live: bool = True

    @classmethod
    def copied(cls, directory: Path) -> Sources:
        """Return the sources of a machine whose files were copied: `/proc` flat, `/sys` under ``sys``."""
        return cls(directory, directory / "sys", live=False)

    def text(self, name: str) -> str:
        """Return a file of `/proc`.

        Raises:
            Unreadable: It cannot be read.
        """
        return _read(self.proc / name, f"/proc/{name}")

    def sys_text(self, name: str) -> str:
        """Return a file of `/sys`.

        Raises:
            Unreadable: It cannot be read.
        """
        return _read(self.sys / name, f"/sys/{name}")

    def words(self, name: str, start: int, count: int) -> bytes:
        """Return ``count`` 8-byte words of a file of `/proc` that has one per page frame, from ``start`` on.

        Raises:
            Unreadable: It cannot be read.
        """
        path, parts, left = self.proc / name, [], count * 8
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(start * 8)
                while left > 0 and (part := file.read(min(left, 1 << 22))):
                    parts.append(part)
                    left -= len(part)
        except OSError as error:
            raise Unreadable(_reason(f"/proc/{name}", error)) from None
        return b"".join(parts)


def _read(path: Path, shown: str) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise Unreadable(_reason(shown, error)) from None


def _reason(shown: str, error: OSError) -> str:
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"{shown} cannot be read" + ("" if os.geteuid() == 0 else " without root")
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return f"{shown} is not there"
    return f"{shown} cannot be read: {error.strerror}"


@dataclass(frozen=True)
class Captured(Sources):
    """Files read at one moment, to be looked at later: looking takes memory, and giving it back changes the lists.

    Attributes:
        texts: by name, what stood in the small files of `/proc`; or why they cannot be read.
        flags: `/proc/kpageflags`; or why it cannot be read.
        earlier: pages without a mark in an earlier reading; None: there was none.
        given_back: by CPU, int64 frames of pages that were held at this moment and given back right after it, in that
            order.
        known_4k: regions that were known to be at 4K at that moment.
        page_tables: the kernel's dump of its page tables before the run, which would see the run's own splits later;
            or why it cannot be read; None: it was not asked for.
    """

    texts: Mapping[str, str | Unreadable] = field(default_factory=dict)
    flags: bytearray | Unreadable = field(default_factory=bytearray)
    earlier: NDArray[np.bool_] | None = None
    given_back: tuple[tuple[int, NDArray[np.int64]], ...] = ()
    known_4k: tuple[int, ...] = ()
    page_tables: str | Unreadable | None = None

    def text(self, name: str) -> str:
        """Return a file of `/proc` as it was."""
        found = self.texts.get(name)
        if isinstance(found, Unreadable):
            raise found
        return super().text(name) if found is None else found

    def sys_text(self, name: str) -> str:
        """Return a file of `/sys`, the page tables as they were."""
        if name != PAGE_TABLES or self.page_tables is None:
            return super().sys_text(name)
        if isinstance(self.page_tables, Unreadable):
            raise self.page_tables
        return self.page_tables

    def words(self, name: str, start: int, count: int) -> bytes:
        """Return words of `/proc/kpageflags` as they were."""
        if isinstance(self.flags, Unreadable):
            raise self.flags
        return bytes(self.flags[start * 8 : (start + count) * 8])


_CAPTURED = ("zoneinfo", "meminfo", "vmstat", "buddyinfo", "pagetypeinfo")


def capture(buffer: bytearray) -> Captured:
    """Read what changes fastest of this machine into memory that is there already.

    Others allocate and free meanwhile: what was read while the number of free pages moved much is read again.

    Args:
        buffer: written with zeros, 8 bytes for every page frame; keeps `/proc/kpageflags`.
    """
    sources = Sources()
    texts: dict[str, str | Unreadable] = {}
    flags: bytearray | Unreadable = buffer
    for _ in range(_ATTEMPTS):
        for name in _CAPTURED:
            try:
                texts[name] = sources.text(name)
            except Unreadable as reason:
                texts[name] = reason
        try:
            _fill(buffer, sources.proc / "kpageflags")
        except OSError as error:
            flags = Unreadable(_reason("/proc/kpageflags", error))
            break
        if abs(_free_kb(texts["meminfo"]) - _free_kb(sources.text("meminfo"))) <= _QUIET_KB:
            break
        time.sleep(0.02)
    return Captured(texts=texts, flags=flags)


_ATTEMPTS = 12
_QUIET_KB = 1024


def _fill(buffer: bytearray, path: Path) -> None:
    view, at = memoryview(buffer), 0
    with path.open("rb", buffering=0) as file:
        while at < len(buffer) and (read := file.readinto(view[at : at + (1 << 20)])):
            at += read


def _free_kb(meminfo: str | Unreadable) -> int:
    text = "" if isinstance(meminfo, Unreadable) else meminfo
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("MemFree:")), 0)


def page_tables_now() -> str | Unreadable:
    """Return the kernel's dump of its page tables, or why it cannot be read."""
    try:
        return Sources().sys_text(PAGE_TABLES)
    except Unreadable as reason:
        return reason


def unmarked_now(buffer: bytearray) -> NDArray[np.bool_] | None:
    """Return which page frames carry no flag in `/proc/kpageflags` now; None where it cannot be read.

    Args:
        buffer: as for `capture`; what it holds afterwards does not matter.
    """
    try:
        _fill(buffer, Path("/proc/kpageflags"))
    except OSError:
        return None
    unmarked: NDArray[np.bool_] = np.frombuffer(buffer, np.uint64) == 0
    return unmarked
