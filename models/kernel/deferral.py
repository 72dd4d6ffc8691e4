"""What is given back later: after an RCU grace period, or by a kernel worker."""

from typing import Final

from models.kernel.layout import deferred, deferred_ends
from models.kernel.records import DEFERRED_SLOTS
from simcore.compiled import jit

__all__ = ["OBJECT", "PAGES", "RCU", "WORKER", "defer", "oldest_ns"]

RCU: Final = 1
WORKER: Final = 2
OBJECT: Final = 0
PAGES: Final = 1


@jit
def defer(handle: int, cpu: int, when: int, now_ns: int, what: int, number: int) -> None:
    """Note something to be given back: `when` is RCU or WORKER, `what` OBJECT (a slab) or PAGES (a pfn).

    The CPU that asks for it is the one that will do it: `call_rcu` puts a callback on its own CPU's list, and
    `schedule_work` a work item on its own CPU's queue [6.1].
    """
    ends = deferred_ends(handle)
    entry = deferred(handle)[(when - 1) * DEFERRED_SLOTS + ends[2 * when - 2] % DEFERRED_SLOTS]
    entry.due_ns, entry.cpu, entry.what, entry.number = now_ns, cpu, what, number
    ends[2 * when - 2] += 1


@jit
def oldest_ns(handle: int, when: int) -> int:
    """When the oldest entry that still waits was noted; -1: none waits."""
    ends = deferred_ends(handle)
    if ends[2 * when - 2] == ends[2 * when - 1]:
        return -1
    return int(deferred(handle)[(when - 1) * DEFERRED_SLOTS + ends[2 * when - 1] % DEFERRED_SLOTS].due_ns)
