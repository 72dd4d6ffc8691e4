"""Making the heads of the free lists known: kernel pages are taken, looked up, and given back just before the run.

No file says in which order free pages lie on their lists, nor which of them a CPU's lists hold. What was given back
last is handed out first, though: a run that begins right after this takes the pages that were seen. They are the ring
of a packet socket that receives nothing: single kernel pages as secret pages are, taken from the same lists, so the run
would have taken most of them anyway. A process may look up the frames of a ring that it has mapped.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from collections.abc import Callable, Sequence

from models.host.worker_live import PAGE, read_frames

__all__ = ["settle"]

_AF_PACKET, _SOCK_RAW, _SOCK_CLOEXEC = 17, 3, 0o2000000
_SOL_PACKET, _PACKET_RX_RING = 263, 5
_libc = ctypes.CDLL(None, use_errno=True)


def settle(pages: int, cpus: Sequence[int], wait: Callable[[str], None]) -> list[tuple[int, list[int]]]:
    """Take pages on some CPUs and give them back there.

    Args:
        pages: how many on each CPU.
        cpus: the CPUs, one after the other.
        wait: called with ``held`` while all are held.

    Returns:
        For each CPU the frames in the order in which it gave them back; nothing where the kernel or a container does
        not allow it, and then nothing was taken.
    """
    stay = os.sched_getaffinity(0)
    held: list[tuple[int, int, mmap.mmap]] = []
    given_back = []
    pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    for cpu in cpus:
        os.sched_setaffinity(0, {cpu})
        ring = _ring(pages)
        if ring is not None:
            held.append((cpu, *ring))
            given_back.append((cpu, read_frames(pagemap, ring[1], pages)))
    os.close(pagemap)
    wait("held")
    for cpu, packets, area in held:
        os.sched_setaffinity(0, {cpu})
        area.close()
        os.close(packets)  # now they are free, the first page of the ring first
    os.sched_setaffinity(0, stay)
    return given_back


def _ring(pages: int) -> tuple[int, mmap.mmap] | None:
    """Return a packet socket and its ring of single pages; None where it is not to be had."""
    packets = _libc.socket(_AF_PACKET, _SOCK_RAW | _SOCK_CLOEXEC, 0)
    if packets < 0:
        return None
    request = struct.pack("4I", PAGE, pages, PAGE, pages)  # block size, blocks, frame size, frames
    if _libc.setsockopt(packets, _SOL_PACKET, _PACKET_RX_RING, request, len(request)):
        os.close(packets)
        return None
    try:
        return packets, mmap.mmap(packets, pages * PAGE)
    except OSError:
        os.close(packets)
        return None
