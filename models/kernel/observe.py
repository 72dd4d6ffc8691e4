"""What is recorded of the kernel: one row of numbers, gathered and noted in compiled code."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.kernel.arena import array_address, slot_array, table_at
from models.kernel.direct_map import counters_of
from models.kernel.layout import State, counts, map_handle, page_handle
from models.kernel.map_changes import stamp
from models.kernel.pages.layout import config
from models.kernel.records import COUNTS
from simcore.columns import BOOK_LINES, note_steps
from simcore.compiled import jit, jit_inline

__all__ = ["SERIES", "attach", "gather", "observe", "observe_steps"]

SERIES: Final = (
    "direct_map.4k_bytes", "direct_map.2m_bytes", "direct_map.1g_bytes",
    "direct_map.level2_splits", "direct_map.level3_splits",
    "direct_map.level2_collapses", "direct_map.level3_collapses",
    "direct_map.unmapped_bytes", "secretmem.pages", "memory.free_bytes", "memory.per_cpu_bytes",
    "tlb.flushes", "tlb.cost_ns", "tlb.reach_ns", "tlb.flush_ns", "tlb.refill_ns", "tasks.alive",
)  # fmt: skip
"""Names of the columns, in order."""

COLUMNS: Final = len(SERIES)
_PAGE_BYTES: Final = 4096
_SLOT: Final = 20


def attach(state: State, values: NDArray[np.int64], rows: NDArray[np.int64], book: NDArray[np.int64]) -> None:
    """Say where rows are noted: the arrays of a recorder's vector over `SERIES`; the caller keeps them alive."""
    slots = state.header
    slots[_SLOT : _SLOT + 3] = values.ctypes.data, rows.ctypes.data, book.ctypes.data
    slots[_SLOT + 3 : _SLOT + 6] = rows.shape[0], rows.shape[1], book.shape[1]
    slots[_SLOT + 6] = state.value_steps.ctypes.data


_values = slot_array(_SLOT, np.int64)
_steps = slot_array(_SLOT + 6, np.int64)


@jit_inline
def _write(handle: int, first_ns: int, step_ns: int, count: int) -> None:
    """Note the vector's values, and then as they change by equal steps."""
    rows = table_at(
        array_address(handle, _SLOT + 1),
        array_address(handle, _SLOT + 3),
        array_address(handle, _SLOT + 4),
        np.int64,
    )
    book = table_at(array_address(handle, _SLOT + 2), BOOK_LINES, array_address(handle, _SLOT + 5), np.int64)
    note_steps(rows, book, first_ns, step_ns, count, _values(handle), _steps(handle))


@jit
def gather(handle: int) -> bool:
    """Bring the vector's values up to date without noting them; returns whether there is a vector."""
    if array_address(handle, _SLOT) == 0:
        return False
    values = _values(handle)
    tiling, store, counted = counters_of(map_handle(handle)), config(page_handle(handle)), counts(handle)
    values[0] = tiling.pages_4k * _PAGE_BYTES
    values[1] = tiling.pages_2m * _PAGE_BYTES
    values[2] = tiling.pages_1g * _PAGE_BYTES
    values[3] = tiling.level2_splits
    values[4] = tiling.level3_splits
    values[5] = tiling.level2_collapses
    values[6] = tiling.level3_collapses
    values[7] = tiling.unmapped_pages * _PAGE_BYTES
    values[8] = counted.secret_pages
    values[9] = store.free_pages * _PAGE_BYTES
    values[10] = store.per_cpu_pages * _PAGE_BYTES
    values[11] = counted.flushes
    values[12] = counted.reach_ns + counted.flush_ns + counted.refill_ns
    values[13] = counted.reach_ns
    values[14] = counted.flush_ns
    values[15] = counted.refill_ns
    values[16] = counted.tasks_alive
    return True


@jit
def observe(handle: int, now_ns: int) -> None:
    """Note the kernel's present numbers, if any of them changed."""
    if not gather(handle):
        return
    stamp(map_handle(handle), now_ns)
    _write(handle, now_ns, 0, 1)


@jit
def observe_steps(handle: int, first_ns: int, step_ns: int, count: int) -> None:
    """Note so many equal operations at equal distances in time, that have all been done since `gather`."""
    if array_address(handle, _SLOT) == 0:
        return
    stamp(map_handle(handle), first_ns)
    values, steps = _values(handle), _steps(handle)
    for column in range(COLUMNS):
        steps[column] = -values[column]
    gather(handle)
    for column in range(COLUMNS):
        steps[column] = (steps[column] + values[column]) // count
        values[column] -= (count - 1) * steps[column]
    _write(handle, first_ns, step_ns, count)
    for column in range(COLUMNS):
        values[column] += (count - 1) * steps[column]


def read(state: State) -> dict[str, int]:
    """What the kernel has counted, by name."""
    record: Any = state.counts[0]
    return {name: int(record[name]) for name in COUNTS.names or ()}
