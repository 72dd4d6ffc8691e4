"""Slab caches as SLUB sizes them: order of a slab, objects in it, how many slabs its lists keep [6.1]."""

from __future__ import annotations

__all__ = ["PAGE_SIZE_BYTES", "cpu_partial_slabs", "min_partial", "slab_geometry"]

PAGE_SIZE_BYTES = 4096

_MAX_SLAB_ORDER = 3


def slab_geometry(object_bytes: int, cpus: int = 1) -> tuple[int, int]:
    """Order of a slab and objects in it (6.1, `calculate_order`).

    A slab should hold `4 * (fls(cpus) + 1)` objects and waste at most a 16th of itself; the bound on waste is
    relaxed to an 8th and a 4th, then the wanted number is lowered; no slab is larger than order 3.

    Args:
        object_bytes: Size of an object with alignment, 8 bytes to 32 KiB.
        cpus: CPUs that the kernel found at boot.

    Raises:
        ValueError: If the object is too small or does not fit into an order-3 slab.
    """
    largest_bytes = PAGE_SIZE_BYTES << _MAX_SLAB_ORDER
    if not 8 <= object_bytes <= largest_bytes:
        raise ValueError(f"object_bytes must be between 8 and {largest_bytes}, not {object_bytes}")
    wanted = min(4 * (cpus.bit_length() + 1), largest_bytes // object_bytes)
    while wanted > 1:
        for fraction in (16, 8, 4):
            order = max(0, (-(-wanted * object_bytes // PAGE_SIZE_BYTES) - 1).bit_length())
            while order <= _MAX_SLAB_ORDER:
                slab_bytes = PAGE_SIZE_BYTES << order
                if slab_bytes % object_bytes <= slab_bytes // fraction:
                    return order, slab_bytes // object_bytes
                order += 1
        wanted -= 1
    order = max(0, (-(-object_bytes // PAGE_SIZE_BYTES) - 1).bit_length())
    return order, (PAGE_SIZE_BYTES << order) // object_bytes


def min_partial(object_bytes: int) -> int:
    """Empty slabs that a node keeps: `clamp(ilog2(size) / 2, 5, 10)` (6.1, `kmem_cache_open`)."""
    return min(max((object_bytes.bit_length() - 1) // 2, 5), 10)


def cpu_partial_slabs(object_bytes: int, objects_per_slab: int) -> int:
    """Slabs that one CPU's partial list may hold (6.1, `set_cpu_partial`)."""
    if object_bytes >= PAGE_SIZE_BYTES:
        wanted_objects = 6
    elif object_bytes >= 1024:
        wanted_objects = 24
    elif object_bytes >= 256:
        wanted_objects = 52
    else:
        wanted_objects = 120
    return -(-2 * wanted_objects // objects_per_slab)
