"""Tables of a task's file descriptors: how many they hold, and which pages they take [6.1 fs/file.c]."""

from __future__ import annotations

from models.kernel.slab import PAGE_SIZE_BYTES

__all__ = ["fdtable_orders", "max_fds"]

#: Descriptors that a task has room for from its birth (`NR_OPEN_DEFAULT`), and in the smallest table besides.
_EMBEDDED_FDS = 64
_SMALLEST_FDTABLE = 128


def max_fds(fd: int) -> int:
    """Descriptors that a task's table has room for once it has grown to hold descriptor `fd` (6.1, `alloc_fdtable`)."""
    if fd < _EMBEDDED_FDS:
        return _EMBEDDED_FDS
    return _SMALLEST_FDTABLE << (fd // _SMALLEST_FDTABLE).bit_length()


def fdtable_orders(descriptors: int) -> list[int]:
    """Orders of the pages of a table of descriptors (6.1, `alloc_fdtable`): its array of files, its bitmaps.

    They are pages of their own only above 8 KiB; smaller ones are kmalloc objects.
    """
    bitmap_longs = descriptors // 64
    sizes_bytes = (8 * descriptors, 2 * descriptors // 8 + 8 * -(-bitmap_longs // 64))
    return [
        (-(-size // PAGE_SIZE_BYTES) - 1).bit_length() for size in sizes_bytes if size > 2 * PAGE_SIZE_BYTES
    ]
