"""Calibration: from measured figures to a cost preset with ranges, provenance, and how noisy the machine is."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from models.host.live_plan import LivePlan, check
from models.host.live_worker import ask_worker
from models.host.pointer_chase import chase_ns
from models.host.procfs import parse_cpuinfo
from models.host.scatter import scatter_request
from models.host.sources import Sources, Unreadable
from models.machine.costs import CostPreset, load_costs

__all__ = ["AGREEMENT", "Calibration", "calibrate_here", "derive", "describe", "disagreement"]

AGREEMENT = 0.15
"""Two measurements of one machine that differ by more say that it is too noisy."""
Figures = Mapping[str, Sequence[float]]
_TABLE_ENTRIES = 512
_DIRECT_MAP_INSTRUCTIONS = 1779  # secret less ordinary fault, 6.1.192
_FAULT_INSTRUCTIONS = 2281  # ordinary fault without its clear, 6.1.192
_CHASE_BYTES = 256 << 20
_JUDGED = ("null_syscall", "ordinary_fault", "secret_fault", "fork_exit_wait", "free_page")


@dataclass(frozen=True)
class Calibration:
    """A measured preset.

    Attributes:
        preset: the costs; their name is that of the file they are written to.
        figures: what was measured, ns, all rounds of both measurements.
        disagreement: by figure, how far the two measurements' medians are apart, as a share.
        machine: kernel and CPU, in words.
    """

    preset: CostPreset
    figures: Figures
    disagreement: Mapping[str, float]
    machine: str

    @property
    def too_noisy(self) -> list[str]:
        """Figures in which two measurements differ by more than 15 %."""
        return [name for name in _JUDGED if self.disagreement.get(name, 0.0) > AGREEMENT]

    def to_yaml(self) -> str:
        """Return the preset's file."""
        document = self.preset.model_dump(mode="json", exclude_none=True, exclude={"name"})
        noise = ", ".join(f"{name} {share:.0%}" for name, share in sorted(self.disagreement.items()))
        verdict = (
            f"TOO NOISY in {', '.join(self.too_noisy)}; measure again when it is quiet" if self.too_noisy else "agree"
        )
        header = (
            f"# What operations cost on one machine: {self.machine}.\n"
            f"# Measured {datetime.now(UTC).isoformat(timespec='seconds')} by `simcore host calibrate`. "
            f"`machine: {{costs: THIS FILE}}` uses it.\n"
            f"# Two measurements one after the other ({AGREEMENT:.0%} asked): {verdict}. Medians differ by: {noise}.\n"
        )
        return header + yaml.safe_dump(document, sort_keys=False, width=140)


def calibrate_here(rounds: int, pages: int, scatter: int = 0) -> Calibration:
    """Measure this machine twice and derive a preset.

    Args:
        rounds: repetitions of each measurement.
        pages: secret pages of each.
        scatter: 2M regions over which to scatter free kernel memory first, so that some faults split; 0: none.

    Raises:
        LiveRefusalError: Secret memory is not to be had here.
        WorkerError: A measurement came to no end.
    """
    wanted = LivePlan("calibrate", {"kind": "one_file"}, pages, 0, pages, 8, 0)
    limits = check(wanted)
    cpus = sorted(os.sched_getaffinity(0))
    request = {"do": "measure", "rounds": rounds, "pages": pages, "cpu": cpus[0], "others": cpus[1:], "limits": limits}
    halves: list[dict[str, list[float]]] = []

    def measure() -> None:
        halves.extend(ask_worker(request) for _ in range(2))

    if scatter:
        ask_worker(scatter_request(scatter, 2 * pages // scatter + 8, os.getpid()), measure)
    else:
        measure()
    figures: dict[str, list[float]] = {}
    for half in halves:
        for name, values in half.items():
            figures.setdefault(name, []).extend(values)
    for huge, name in ((False, "pointer_chase_4k"), (True, "pointer_chase_2m")):
        value = chase_ns(_CHASE_BYTES, huge=huge)
        if value is not None:
            figures[name] = [value]
    cpu, ghz, virtual = _cpu()
    machine = f"Linux {platform.release()}, {cpu}, {len(cpus)} CPUs"
    preset = derive(figures, cpus=len(cpus), ghz=ghz, virtual=virtual, machine=machine)
    return Calibration(preset, figures, disagreement(*halves), machine)


def _cpu() -> tuple[str, float, bool]:
    with suppress(Unreadable):
        cpu = parse_cpuinfo(Sources().text("cpuinfo"))[0]
        ghz = float(cpu.get("cpu MHz", 0)) / 1000
        return cpu.get("model name", platform.machine()), ghz, "hypervisor" in cpu.get("flags", "").split()
    return platform.machine(), 0.0, False


def disagreement(first: Figures, second: Figures) -> dict[str, float]:
    """Return by how much the medians of two measurements differ, as a share of their mean."""
    shares = {}
    for name in sorted(set(first) & set(second)):
        a, b = float(np.median(first[name])), float(np.median(second[name]))
        shares[name] = abs(a - b) / ((a + b) / 2)
    return shares


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


def describe(calibration: Calibration, path: Path) -> list[str]:
    """Return the lines to print: medians, ranges, noise, verdict."""
    lines = [f"{path}: {calibration.machine}"]
    for name, values in calibration.figures.items():
        noise = calibration.disagreement.get(name)
        apart = "" if noise is None else f"   two measurements differ by {noise:.0%}"
        lines.append(f"  {name}: {np.median(values):,.0f} ns [{min(values):,.0f}, {max(values):,.0f}]{apart}")
    if "fault_with_2m_split" not in calibration.figures:
        lines.append("no fault split an entry here (the regions are at 4K already): its cost is not measured")
    if noisy := calibration.too_noisy:
        lines.append(
            f"this machine is too noisy: {', '.join(noisy)} differ by more than {AGREEMENT:.0%}; measure again"
        )
    return lines
