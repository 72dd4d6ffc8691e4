"""What it costs when a CPU's lists give pages back to the others, where a preset tells that apart."""

from typing import Any

from models.kernel.layout import State, charge, costs, page_handle
from models.kernel.pages.layout import config
from simcore.compiled import jit

__all__ = ["charge_drains", "forgive"]


@jit
def charge_drains(handle: int) -> None:
    """Charge for all pages drained since this was last done."""
    cost_ns, due, drained = costs(handle).drain_page, charge(handle), config(page_handle(handle)).drained
    if cost_ns > 0:
        due.cpu_ns += cost_ns * (drained - due.drained)
        due.drained = drained


def forgive(state: State) -> None:
    """Nobody pays for what has been done so far."""
    due: Any = state.charge[0]
    counted: Any = state.pages.config[0]
    state.charge[:] = 0
    due["drained"], due["refills"] = counted["drained"], counted["refills"]
