"""Workloads that ask what a mechanism costs: removal of every page, storms of flushes, a shattered map."""

from __future__ import annotations

from typing import Any

import pytest

from models.machine.costs import load_costs
from models.validation.fits import throughput
from simcore.run import run


def results(workload: dict[str, Any], **changes: Any) -> dict[str, Any]:
    mapping = {
        "name": "probe", "seed": 1, "model": "direct_map", "machine": {"memory": "256MiB", "cpus": 4},
        "workloads": {"probe": workload}, **changes,
    }  # fmt: skip
    return run(mapping).summary


def test_removal_costs_a_flush_and_the_others_interrupts() -> None:
    """Four tasks on four CPUs: each page costs base, work, its flush, and an interrupt by each other page meanwhile."""
    done = results({"kind": "removal", "tasks": 4, "pages": 200, "base": 1000, "work": 300})
    flush = load_costs("haswell_bare_metal").flush
    page = 1300 + flush.initiator_ns(1, 3) + 3 * flush.receiver_ns(1)
    assert done["workloads.probe.base_ns"] == 4 * 200 * 1000
    assert done["workloads.probe.spent_ns"] / (4 * 200) == pytest.approx(page, rel=0.02)
    assert done["workloads.probe.pages"] == done["tlb.flushes"] == 800


def test_a_storm_of_broadcasts_is_the_closed_queue_of_theory() -> None:
    """Nobody interrupts: threads that work and then queue for one server, as mean value analysis has it."""
    done = results(
        {"kind": "flush_storm", "threads": [1, 4, 12], "loops": 20000, "work": 3000, "shared": 500,
         "flush": "invlpgb", "broadcast_from": 2}
    )  # fmt: skip
    wait = load_costs("haswell_bare_metal").values.flush_broadcast_ns.value
    for threads in (1, 4, 12):
        expected = throughput(threads, 3000 + (wait if threads > 1 else 0), 500) * 1e9
        assert done[f"workloads.probe.loops_per_s_{threads}"] == pytest.approx(expected, rel=0.04)


def test_interrupts_limit_a_storm_that_shares_a_part() -> None:
    """An interrupt in the shared part is paid by all: no more loops than one per shared part and interrupt."""
    done = results({"kind": "flush_storm", "threads": [4, 32], "loops": 20000, "work": 3000, "shared": 500})
    flush = load_costs("haswell_bare_metal").flush
    for threads in (4, 32):
        wait = flush.initiator_ns(1, threads - 1) - flush.local_ns(1)
        expected = throughput(threads, 3000 + wait, 500, flush.receiver_ns(1)) * 1e9
        assert done[f"workloads.probe.loops_per_s_{threads}"] == pytest.approx(expected, rel=0.05)


def test_a_storm_of_interrupts_gains_less_from_threads_and_shared_cores_slow_it() -> None:
    """Each thread loses an interrupt per loop of every other one; two threads of a core are slower than two cores."""
    storm = {"kind": "flush_storm", "threads": [8], "loops": 4000, "work": 3000, "shared": 100}
    told = results({**storm, "flush": "invlpgb"})["workloads.probe.loops_per_s_8"]
    asked = results({**storm, "flush": "ipi"})["workloads.probe.loops_per_s_8"]
    shared = results({**storm, "flush": "ipi", "cores": 4, "sharing": 1.5})["workloads.probe.loops_per_s_8"]
    flush = load_costs("haswell_bare_metal").flush
    loop = 3100 + flush.initiator_ns(1, 7) - flush.local_ns(1) + 7 * flush.receiver_ns(1)
    assert asked == pytest.approx(8e9 / loop, rel=0.1)
    assert shared < asked < told


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_shattered_map_is_at_4k_as_far_as_was_asked(share: float) -> None:
    """Every region is split once; boot's own 4K regions come on top."""
    done = results({"kind": "shatter", "share": share}, machine={"memory": "4GiB", "cpus": 2})
    memory = 4 << 30
    assert done["direct_map.4k_bytes"] == pytest.approx(share * memory, rel=0.02, abs=16 << 20)
    assert done["workloads.probe.regions"] == done["direct_map.level2_splits"]
