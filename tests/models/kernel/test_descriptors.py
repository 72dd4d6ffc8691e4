"""Tables of descriptors, as large as the kernel makes them."""

from __future__ import annotations

from models.kernel.descriptors import fdtable_orders, max_fds


def test_descriptor_tables_grow_by_doubling() -> None:
    """Only tables above 8 KiB are pages of their own; from 32,768 descriptors on the bitmaps are too."""
    assert [max_fds(fd) for fd in (3, 63, 64, 127, 128, 256, 1023, 1024)] == [64, 64, 128, 128, 256, 512, 1024, 2048]
    assert [fdtable_orders(size) for size in (64, 1024, 2048, 4096, 32768)] == [[], [], [2], [3], [6, 2]]
