"""Who has a CPU, who waits for one, and which children have no process: the records, reached by the clocks' handle."""

from typing import Final

import numpy as np

from models.kernel.arena import slot_array
from models.kernel.plain_tasks import PLAN

__all__ = [
    "BROOD", "MAX_BROODS", "MAX_ROWS", "NOBODY", "QUEUE", "ROW", "SEAT", "broods", "queue_of", "rows", "seats",
]  # fmt: skip

NOBODY: Final = -1
SEAT: Final = np.dtype(
    [
        ("row", "<i8"),  # the child in `rows` that has the CPU, or NOBODY: a thread, or nobody
        ("began_ns", "<i8"),  # when it got the CPU
        ("node", "<i8"),
        ("idle", "<i8"), ("next", "<i8"), ("prev", "<i8"),  # neighbours among the idle CPUs
    ]
)  # fmt: skip
"""A CPU, see `models.workloads.cpu_queue`."""
QUEUE: Final = np.dtype(
    [
        ("first", "<i8"), ("last", "<i8"),  # rows that wait for a CPU, the longest first
        ("first_idle", "<i8"), ("last_idle", "<i8"), ("idle", "<i8"),  # idle CPUs, the longest first
        ("rows", "<i8"), ("unused", "<i8"),  # rows ever used, the first of those that are free again
    ]
)  # fmt: skip
ROW: Final = np.dtype(
    [
        ("touched_ns", "<i8"),  # when it touched its page
        ("task", "<i4"), ("file", "<i4"), ("mapping", "<i4"),  # holders
        ("next", "<i4"),  # in whatever list it is
        ("cpu", "<i2"),  # that it had last
        ("brood", "<i2"), ("stage", "<i2"),  # see `models.workloads.brood_steps`
        ("padding", "<i2"),
    ]
)  # fmt: skip
"""Somebody who waits for a CPU: a thread, or a child that has no thread of its own."""
MAX_BROODS: Final = 64
BROOD: Final = np.dtype(
    [
        ("growing", "<i8"),  # children that have not their page yet, and the parent as long as it forks
        ("alive", "<i8"),  # children that have not ended
        ("holds", "<i8"),  # whether children that have their page sleep until they are woken
        ("first", "<i8"), ("last", "<i8"),  # rows that sleep
        # Not told to Python yet:
        ("forked", "<i8"), ("filled", "<i8"), ("ended", "<i8"),
        ("secret_pages", "<i8"), ("secret_pages_peak", "<i8"),  # of their user, less what is known
        ("fault_ns", "<i8"),
        ("plan", PLAN),
    ]
)  # fmt: skip
"""Children of one task, see `models.workloads.brood`."""
MAX_ROWS: Final = 1 << 23

seats = slot_array(3, SEAT)
queue_of = slot_array(4, QUEUE)
rows = slot_array(5, ROW)
broods = slot_array(6, BROOD)
