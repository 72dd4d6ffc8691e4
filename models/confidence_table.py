"""How sure a run's numbers are: every value of its presets, with its word of confidence and its source."""

from __future__ import annotations

import pyarrow as pa

from models.machine.costs import CostValue
from models.machine.machine import Machine
from models.workloads.bystanders import Bystanders

__all__ = ["confidence_table"]

COLUMNS = ("of", "value", "number", "confidence", "source")


def confidence_table(machine: Machine, bystanders: Bystanders) -> pa.Table:
    """Return a row per value: of which preset, its name, the value, confidence, source; all as text.

    Words: measured, verified (vendor text read), published, derived (arithmetic on others), unverified, swept (a guess
    inside a range). TLB values matter to a run with bystanders only, and are left out of others.
    """
    rows: list[tuple[str, ...]] = []
    if bystanders.names:
        rows += [(f"tlb {machine.tlb.name}", *row) for row in machine.tlb.confidence_table()]
    for name in type(machine.costs.values).model_fields:
        stated: CostValue | None = getattr(machine.costs.values, name)
        if stated is not None:
            rows.append((f"costs {machine.costs.name}", name, f"{stated.value:g}", stated.confidence, stated.source))
    rows += bystanders.stated()
    return pa.table({column: [row[at] for row in rows] for at, column in enumerate(COLUMNS)})
