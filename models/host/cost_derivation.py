"""From measured figures to a cost preset: what is taken as it is, what arithmetic gives, what stays unmeasured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.machine.costs import CostPreset, load_costs

__all__ = ["Figures", "derive"]

Figures = Mapping[str, Sequence[float]]
_TABLE_ENTRIES = 512
_DIRECT_MAP_INSTRUCTIONS = 1779  # secret less ordinary fault, 6.1.192
_FAULT_INSTRUCTIONS = 2281  # ordinary fault without its clear, 6.1.192


class _Deriving:
    """The values of a preset, from what was measured."""

    def __init__(self, figures: Figures, base: CostPreset) -> None:
        self.figures = figures
        self.values: dict[str, dict[str, Any]] = {
            name: {**cost, "confidence": "swept", "source": f"not measured; that of {base.name}"}
            for name, cost in base.values.model_dump(mode="json", exclude_none=True).items()
        }
        for cost in self.values.values():
            cost.setdefault("range", [cost["value"] / 2, cost["value"] * 2])

    def median(self, name: str) -> float | None:
        values = self.figures.get(name)
        return float(np.median(values)) if values else None

    def measured(self, cost: str, figure: str, source: str, cold: float | None = None) -> None:
        """Take a figure as it is."""
        value = self.median(figure)
        if value is None:
            return
        values = self.figures[figure]
        self.values[cost] = {
            "value": round(value, 1), "range": [round(min(values), 1), round(max(values), 1)],
            "confidence": "measured", "source": f"{source}; median of {len(values)}",
        }  # fmt: skip
        if cold is not None:
            self.values[cost]["cold"] = round(cold, 1)

    def derived(self, cost: str, value: float, source: str) -> None:
        """Take what arithmetic on figures gives; the range is a quarter up and down."""
        value = max(0.0, value)
        self.values[cost] = {
            "value": round(value, 2), "range": [round(0.75 * value, 2), round(1.25 * value + 0.01, 2)],
            "confidence": "derived", "source": source,
        }  # fmt: skip


def derive(figures: Figures, *, cpus: int, ghz: float, virtual: bool, machine: str) -> CostPreset:
    """Return the preset that measured figures give; what was not measured stays that of haswell_bare_metal.

    A secret fault in a split region is put together again as the models do it: fault, direct-map entry, flush. The
    fault is that of other shared memory, the entry goes by instructions, and the flush is the rest; a split's entries
    are what a fault with a split takes longer, less its table page and its own flush.
    """
    base = load_costs("haswell_bare_metal")
    take = _Deriving(figures, base)
    if ghz:
        take.values["cpu_ghz"] = {"value": round(ghz, 3), "confidence": "measured", "source": "/proc/cpuinfo"}
    ghz = ghz or base.values.cpu_ghz.value
    take.measured("null_syscall_ns", "null_syscall", "getppid, less the loop")
    take.measured("page_clear_ns", "page_clear_hot", "memset of one page, hot", take.median("page_clear_cold"))
    take.measured("ordinary_fault_ns", "ordinary_fault", "first touch of anonymous memory, per page")
    for name in ("memfd_secret", "ftruncate", "mmap"):
        take.measured(f"{name}_ns", name, f"{name} of a secret file")
    take.measured("munmap_page_ns", "munmap_page", "munmap of a secret file, per page")
    take.measured("free_page_ns", "free_page", "close of a secret file, per page")
    take.measured("fork_ns", "fork", "fork as the parent sees it; a small interpreter")
    whole, fork = take.median("fork_exit_wait"), take.median("fork")
    if whole is not None and fork is not None:
        rest = max(0.0, whole - fork)
        take.derived("exit_ns", 0.875 * rest, "7/8 of fork, exit and wait less fork; the shares are a guess")
        take.derived("wait_ns", 0.125 * rest, "1/8 of fork, exit and wait less fork; the shares are a guess")
    ordinary, clear = take.median("ordinary_fault"), take.median("page_clear_hot")
    if ordinary is not None and clear is not None and ordinary > clear:
        rate = _FAULT_INSTRUCTIONS / (ordinary - clear)
        take.derived("instructions_per_ns", rate, "2,281 instructions of an ordinary fault without its clear")
        take.derived("direct_map_entry_ns", _DIRECT_MAP_INSTRUCTIONS / rate, "1,779 instructions at that rate")
    _flush(take, cpus, ghz)
    evidence = {
        f"{name}_ns": {
            "value": float(np.median(values)), "range": [min(values), max(values)], "confidence": "measured",
            "source": f"median of {len(values)}",
        }
        for name, values in figures.items()
        if values
    }  # fmt: skip
    return CostPreset.model_validate(
        {
            "name": "calibrated", "description": machine, "virtual": virtual, "flush_kind": base.flush_kind,
            "values": take.values, "evidence": evidence,
        }
    )  # fmt: skip


def _flush(take: _Deriving, cpus: int, ghz: float) -> None:
    secret, shared = take.median("secret_fault"), take.median("shared_fault")
    if secret is None or shared is None:
        return
    values = take.values
    local = values["invlpg_cycles"]["value"] / ghz
    remote = values["flush_b_ns_per_cpu"]["value"] * (cpus - 1)
    entry = min(values["direct_map_entry_ns"]["value"], max(0.0, secret - shared) / 2)
    fault = min(shared, secret)
    take.derived("direct_map_entry_ns", entry, values["direct_map_entry_ns"]["source"])
    round_trip = secret - fault - entry
    paid = max(round_trip, local) if cpus > 1 else local
    take.derived("secret_fault_ns", secret - entry - paid, "secret fault less direct-map entry and flush")
    if cpus > 1:
        a_ns = max(0.0, round_trip - local - remote)
        take.derived("flush_a_ns", a_ns, f"secret fault less shared fault and entry, less b for {cpus - 1} other CPUs")
    with_split = take.median("fault_with_2m_split")
    if with_split is not None:
        full = values["global_flush_cycles"]["value"] / ghz + (
            values["flush_a_ns"]["value"] + remote if cpus > 1 else 0
        )
        table = values["table_page_ns"]["value"]
        entries = max(0.0, with_split - secret - full - table) / _TABLE_ENTRIES
        count = len(take.figures["fault_with_2m_split"])
        take.derived("write_entry_ns", entries, f"fault with a 2M split (n={count}) less one without, flush and table")
