"""What it costs when a CPU's lists of free pages are filled, or give pages back, where a preset tells that apart."""

from typing import Any

from models.kernel.layout import State, charge, costs, page_handle
from models.kernel.pages.layout import config
from simcore.compiled import jit

__all__ = ["charge_lists", "forgive"]


@jit
def charge_lists(handle: int) -> None:
    """Charge for all refills, and all pages drained, since this was last done."""
    cost, due, counted = costs(handle), charge(handle), config(page_handle(handle))
    if cost.refill > 0:
        due.cpu_ns += cost.refill * (counted.refills - due.refills)
        due.refills = counted.refills
    if cost.drain_page > 0:
        due.cpu_ns += cost.drain_page * (counted.drained - due.drained)
        due.drained = counted.drained


def forgive(state: State) -> None:
    """Nobody pays for what has been done so far."""
    due: Any = state.charge[0]
    counted: Any = state.pages.config[0]
    state.charge[:] = 0
    due["drained"], due["refills"] = counted["drained"], counted["refills"]
