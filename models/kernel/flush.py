"""Flushing kernel addresses from the TLBs: at once on all CPUs as Linux does, or put off and gathered as what-ifs."""

from typing import Final

from models.kernel.layout import charge, costs
from simcore.compiled import jit

__all__ = ["BATCHED", "DEFERRED", "EACH", "flush_kernel", "flush_removed", "flush_split"]

EACH: Final = 0
DEFERRED: Final = 1
BATCHED: Final = 2


@jit
def flush_kernel(handle: int, whole: bool) -> None:
    """Flush kernel addresses on all CPUs: everything, or one page's worth (`flush_tlb_kernel_range`)."""
    due, cost = charge(handle), costs(handle)
    spent_ns = cost.flush_all if whole else cost.flush_page
    due.after_ns += spent_ns
    due.flush_ns += spent_ns
    due.flushes += 1
    due.full_flushes += 1 if whole else 0
    due.interrupted_ns += cost.interrupted_all if whole else cost.interrupted


@jit
def flush_removed(handle: int, whole: bool) -> None:
    """Flush pages that have just left the direct map, now or later, as `models.kernel.flush_config` says."""
    if costs(handle).flush_mode == EACH:
        flush_kernel(handle, whole)
    else:
        charge(handle).pending += 1


@jit
def flush_split(handle: int) -> None:
    """Count the `flush_tlb_all` of a split, which waits under the map lock; its time is part of the split's."""
    due, cost = charge(handle), costs(handle)
    due.flush_ns += cost.flush_all
    due.flushes += 1
    due.full_flushes += 1
    due.interrupted_ns += cost.interrupted_all
