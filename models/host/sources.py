"""Where a snapshot reads: this machine's `/proc` and `/sys`, or a directory with copies of their files."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.host.kernel_memory.free_lists import Lists

__all__ = ["PAGE_TABLES", "Sources", "Unreadable", "why_unreadable"]


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

    def lists(self) -> Lists:
        """Return the page allocator's lists.

        Raises:
            Unreadable: They are in no file: only the memory of the kernel at hand has them.
        """
        raise Unreadable("the kernel's memory is not among the files")

    def tiles(self) -> Sequence[tuple[int, int, int]]:
        """Return how the direct map is tiled, [first pfn, pages, level], from page tables in memory.

        Raises:
            Unreadable: As for `lists`.
        """
        raise Unreadable("the kernel's memory is not among the files")

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
            raise Unreadable(why_unreadable(f"/proc/{name}", error)) from None
        return b"".join(parts)


def _read(path: Path, shown: str) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise Unreadable(why_unreadable(shown, error)) from None


def why_unreadable(shown: str, error: OSError) -> str:
    """Return why a file could not be read, for people."""
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"{shown} cannot be read" + ("" if os.geteuid() == 0 else " without root")
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return f"{shown} is not there"
    return f"{shown} cannot be read: {error.strerror}"
