"""Fits: they give back what they were made from, use what is there to be fitted, and stand in the configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from models.machine.costs import load_costs
from models.validation.fits import fit_removal, fit_shootdown, fit_storm, published, throughput

CONFIGS = Path(__file__).parents[3] / "configs" / "validation"


def config(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CONFIGS / name).read_text())
    return loaded


def test_the_flush_of_the_cost_preset_is_the_fitted_one() -> None:
    """a and b of the preset are those that the published shootdown gives, rounded."""
    fit = fit_shootdown(published()["shootdown_haswell_2019"])
    flush = load_costs("haswell_bare_metal").flush
    assert flush.a_ns == pytest.approx(fit.a_ns, rel=0.05)
    assert flush.b_ns_per_cpu == pytest.approx(fit.b_ns_per_cpu, rel=0.05)


def test_removal_gives_its_row_back_and_its_constants_stand_in_the_configurations() -> None:
    """Pages and work reproduce the row; base and work of all files are theirs, scaled by the other machine's base."""
    row = published()["xpfo_2019"]["i5_3550_4cpu"]
    flush = load_costs("haswell_bare_metal").flush
    fit = fit_removal(row, flush, 4)
    each = fit.work_ns + flush.initiator_ns(1, 3) + 3 * flush.receiver_ns(1)
    assert row["base"] + fit.pages * each / 1e9 == pytest.approx(row["xpfo"])
    assert row["base"] + fit.pages * (fit.work_ns + flush.local_ns(1)) / 1e9 == pytest.approx(row["deferred_flush"])
    four = config("xpfo_4cpu.yaml")["workloads"]["make"]
    assert (four["base"], four["work"]) == (f"{fit.base_ns:.0f}ns", f"{fit.work_ns:.0f}ns")
    many = config("xpfo_96cpu.yaml")["workloads"]["make"]
    other = published()["xpfo_2019"]["xeon_8160_96cpu"]["base"]
    assert int(many["base"][:-2]) == pytest.approx(other * 1e9 / fit.pages, rel=0.001)
    assert int(many["work"][:-2]) == pytest.approx(fit.work_ns * other / row["base"], rel=0.001)


def test_both_machines_have_one_set_of_flush_constants() -> None:
    """No configuration of a removal replaces a cost of the preset."""
    for path in CONFIGS.glob("*xpfo*.yaml"):
        assert "cost_values" not in path.read_text()
    assert "cost_values" not in (CONFIGS / "guest_memfd.yaml").read_text()


def test_the_storm_is_fitted_to_one_and_four_threads_with_the_constants_of_all_other_flushes() -> None:
    """Other numbers elsewhere change nothing; 2 threads come out by themselves; what is fitted stands in the file."""
    rows = published()["invlpgb_2025"]
    flush = load_costs("haswell_bare_metal").flush
    fit = fit_storm(rows, flush)
    spoilt = {key: [row[0], 1, row[2], *[1] * 5] if key != "threads" else row for key, row in rows.items()}
    assert fit_storm(spoilt, flush) == fit
    waits = {n: flush.initiator_ns(1, n - 1) - flush.local_ns(1) for n in (2, 4)}
    asked = {n: throughput(n, fit.work_ns + wait, fit.shared_ns, flush.receiver_ns(1)) for n, wait in waits.items()}
    told = throughput(4, fit.work_ns + fit.broadcast_ns, fit.shared_ns)
    assert told * 1e6 == pytest.approx(rows["invlpgb"][2], abs=1)
    assert asked[4] * 1e6 == pytest.approx(rows["ipi"][2], abs=1)
    assert asked[2] * 1e6 == pytest.approx(rows["ipi"][1], rel=0.03)
    file = config("invlpgb.yaml")
    assert file["machine"]["cost_values"] == {"flush_broadcast_ns": round(fit.broadcast_ns)}
    for workload in file["workloads"].values():
        assert (workload["work"], workload["shared"]) == (f"{fit.work_ns:.0f}ns", f"{fit.shared_ns:.0f}ns")


def test_a_server_that_all_threads_need_bounds_their_throughput() -> None:
    """One thread never waits; many get one loop per time at the server, and with interrupts one per both times."""
    assert throughput(1, 900, 100, 500) == pytest.approx(1e-3)
    assert throughput(64, 900, 100) == pytest.approx(1 / 100, rel=0.02)
    assert throughput(64, 900, 100, 300) == pytest.approx(1 / (100 + 300 * 63 / 64), rel=0.02)
    assert throughput(2, 900, 100) < 2e-3
