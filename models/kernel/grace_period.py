"""What a grace period or a worker gives back, once it may [6.1]."""

from models.kernel.deferral import OBJECT
from models.kernel.layout import deferred, deferred_ends, page_handle
from models.kernel.pages.allocator import free_pages
from models.kernel.pages.layout import pages
from models.kernel.records import DEFERRED_SLOTS
from models.kernel.slab_caches import give_object
from simcore.compiled import jit

__all__ = ["give_due", "waiting"]


@jit
def waiting(handle: int, when: int, noted_until_ns: int) -> int:
    """How many entries wait that were noted up to a time."""
    ends, ring = deferred_ends(handle), deferred(handle)
    low, high = ends[2 * when - 1], ends[2 * when - 2]
    while low < high:
        middle = (low + high) >> 1
        if ring[(when - 1) * DEFERRED_SLOTS + middle % DEFERRED_SLOTS].due_ns <= noted_until_ns:
            low = middle + 1
        else:
            high = middle
    return int(low - ends[2 * when - 1])


@jit
def give_due(handle: int, when: int, noted_until_ns: int, now_ns: int, most: int) -> int:
    """Give back what was noted up to a time, in the order in which it was, each on the CPU that noted it.

    Args:
        most: entries to be given back at the most.

    Returns:
        Entries given back.
    """
    ends, ring, store, done = deferred_ends(handle), deferred(handle), page_handle(handle), 0
    while done < most and ends[2 * when - 1] < ends[2 * when - 2]:
        entry = ring[(when - 1) * DEFERRED_SLOTS + ends[2 * when - 1] % DEFERRED_SLOTS]
        if entry.due_ns > noted_until_ns:
            break
        cpu = int(entry.cpu)
        if entry.what == OBJECT:
            give_object(handle, cpu, entry.number, now_ns)
        else:
            free_pages(store, cpu, entry.number, pages(store)[entry.number].order)
        ends[2 * when - 1] += 1
        done += 1
    left = ends[2 * when - 2] - ends[2 * when - 1]
    if left <= ends[2 * when - 1] <= DEFERRED_SLOTS - left:
        # Begin anew at the front, so that a ring never takes more memory than twice what waits at one time.
        first, start = (when - 1) * DEFERRED_SLOTS, ends[2 * when - 1]
        for entry in range(left):
            here, there = ring[first + entry], ring[first + start + entry]
            here.due_ns, here.cpu, here.what, here.number = there.due_ns, there.cpu, there.what, there.number
        ends[2 * when - 1], ends[2 * when - 2] = 0, left
    return done
