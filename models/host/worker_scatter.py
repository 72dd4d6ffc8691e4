"""Scattering this kernel's free unmovable memory: what long use does to it, done in a moment and undone at the end.

On a machine whose leftovers have been used by earlier runs, their regions are at 4K and a run splits nothing. This
takes page tables until they reach over fresh regions, gives a few back, chosen at random, and holds the others.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import random
from collections.abc import Sequence
from typing import Any

from models.host.system_calls import MAP_NORESERVE

__all__ = ["take_scattered"]

_TABLES = 512
_REACH = 512 * mmap.PAGESIZE
_libc = ctypes.CDLL(None, use_errno=True)
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
]  # fmt: skip


def take_scattered(leftovers: int, regions: int, given_back: int, seed: int, cpus: Sequence[int]) -> dict[str, Any]:
    """Take the leftovers, then page tables of ``regions`` times 2 MiB; give back some of these, hold the rest.

    Args:
        leftovers: page tables taken first and held: as many as there are free unmovable pages.
        regions: 2M regions to reach over.
        given_back: pages given back on each CPU, chosen over all regions.
        seed: of the choice.
        cpus: the CPUs.

    Raises:
        OSError: The address space is not to be had.
    """
    fresh = regions * _TABLES
    total = leftovers + fresh
    os.sched_setaffinity(0, {cpus[0]})
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    address = _libc.mmap(None, (total + 1) * _REACH, mmap.PROT_READ, flags, -1, 0)
    if address in {None, ctypes.c_void_p(-1).value}:
        raise OSError(ctypes.get_errno(), "no address space for page tables")
    assert address is not None
    base = -(-address // _REACH) * _REACH
    _libc.madvise(ctypes.c_void_p(base), ctypes.c_size_t(total * _REACH), ctypes.c_int(mmap.MADV_NOHUGEPAGE))
    for table in range(total):
        ctypes.c_char.from_address(base + table * _REACH).value  # noqa: B018 - the read maps the zero page
    chosen = random.Random(seed).sample(range(leftovers, total), min(fresh, given_back * len(cpus)))
    each = -(-len(chosen) // len(cpus))
    for number, cpu in enumerate(cpus):
        os.sched_setaffinity(0, {cpu})
        for table in chosen[number * each : (number + 1) * each]:
            _libc.munmap(base + table * _REACH, _REACH)
    return {"tables": total}
