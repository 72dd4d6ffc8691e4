"""What a grace period or a worker gives back, once it may [6.1]."""

from models.kernel.deferral import OBJECT
from models.kernel.layout import DEFERRED_SLOTS, deferred, deferred_ends, page_handle
from models.kernel.pages.allocator import free_pages
from models.kernel.pages.layout import pages
from models.kernel.slab_caches import give_object
from simcore.compiled import jit

__all__ = ["give_due"]


@jit
def give_due(handle: int, when: int, cpu: int, noted_until_ns: int, now_ns: int) -> int:
    """Give back what was noted up to a time, in the order in which it was.

    Returns:
        Entries given back.
    """
    ends, ring, store, done = deferred_ends(handle), deferred(handle), page_handle(handle), 0
    while ends[2 * when - 1] < ends[2 * when - 2]:
        entry = ring[(when - 1) * DEFERRED_SLOTS + ends[2 * when - 1] % DEFERRED_SLOTS]
        if entry.due_ns > noted_until_ns:
            break
        if entry.what == OBJECT:
            give_object(handle, cpu, entry.number, now_ns)
        else:
            free_pages(store, cpu, entry.number, pages(store)[entry.number].order)
        ends[2 * when - 1] += 1
        done += 1
    if ends[2 * when - 1] == ends[2 * when - 2]:
        # Nothing waits: begin anew, so that a ring never grows beyond what waits at one time.
        ends[2 * when - 1] = ends[2 * when - 2] = 0
    return done
