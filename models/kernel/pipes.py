"""Pipe buffers: unmovable pages that a process can fill without any limit on locked memory."""

from models.kernel.chains import append, give_chain, take
from models.kernel.layout import charge, costs
from models.kernel.pages.layout import NONE, UNMOVABLE
from models.kernel.records import ANON
from simcore.compiled import jit

__all__ = ["drain_pipe", "fill_pipe"]


@jit
def fill_pipe(handle: int, cpu: int, node: int, holder: int, count: int) -> int:
    """Take a page for each page written; returns pages got."""
    for done in range(count):
        pfn = take(handle, cpu, node, 0, UNMOVABLE)
        if pfn == NONE:
            return done
        append(handle, holder, ANON, pfn, 0)
        charge(handle).cpu_ns += costs(handle).clear_page
    return count


@jit
def drain_pipe(handle: int, cpu: int, holder: int) -> None:
    """Free all pages, in the order in which they were written, one by one."""
    charge(handle).cpu_ns += costs(handle).free_page * give_chain(
        handle, cpu, holder, ANON, 1 << 60, 1, False
    )
