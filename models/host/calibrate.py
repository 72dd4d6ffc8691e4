"""Calibration: measuring this machine twice, its cost preset with provenance, and how noisy it is."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import yaml

from models.host.cost_derivation import Figures, derive
from models.host.live_plan import LivePlan, check
from models.host.live_worker import ask_worker
from models.host.pointer_chase import chase_ns
from models.host.procfs import parse_cpuinfo
from models.host.scatter import scatter_request
from models.host.sources import Sources, Unreadable
from models.machine.costs import CostPreset

__all__ = ["AGREEMENT", "Calibration", "calibrate_here", "describe", "disagreement"]

AGREEMENT = 0.15
"""Two measurements of one machine that differ by more say that it is too noisy."""
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
    request = {
        "do": "measure", "rounds": rounds, "pages": pages, "cpu": cpus[0], "others": cpus[1:], "limits": limits,
    }  # fmt: skip
    halves: list[dict[str, list[float]]] = []

    def measure() -> None:
        for _ in range(2):
            halves.append(ask_worker(request)["figures"])

    if scatter:
        ask_worker(scatter_request(scatter, 2 * pages + 8 * scatter, os.getpid(), cpus=cpus[:1]), measure)
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
