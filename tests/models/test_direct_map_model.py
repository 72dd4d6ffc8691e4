"""The model as the engine sees it: reproducible, complete in its results, and calm when memory runs out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from models.kernel.observe import SERIES
from simcore.errors import ConfigError
from simcore.experiment import Experiment
from simcore.result import Result
from simcore.simulation import simulate

FIXED_SERIES = (
    "direct_map.4k_bytes",
    "direct_map.2m_bytes",
    "direct_map.1g_bytes",
    "direct_map.level2_splits",
    "direct_map.level3_splits",
    "direct_map.level2_collapses",
    "direct_map.level3_collapses",
    "direct_map.unmapped_bytes",
    "secretmem.pages",
    "memory.free_bytes",
    "tlb.cost_ns",
    "tlb.flushes",
    "tasks.alive",
)
MIXED: dict[str, Any] = {
    "machine": {"memory": "1GiB", "cpus": 2},
    "workloads": {
        "bomb": {"kind": "fork_bomb", "tasks": 40, "ordinary_before": 5},
        "churn": {"kind": "churn", "steps": 150, "slots": 16, "max_pages": 8, "user": "other"},
        "spread": {"kind": "spread", "secret_pages": 20, "filler_pages": 100, "start": "1ms"},
    },
}


def run(config: Mapping[str, Any] | None = None, **keys: Any) -> Result:
    return simulate(Experiment.from_mapping({"name": "test", **(config or MIXED), **keys}))


@pytest.mark.parametrize("policy", ["page", "pmd_pool"])
def test_the_same_seed_gives_the_same_run(policy: str) -> None:
    """Twice the same, to the last bit; another seed differs, since churn and the boot's leftovers are random."""
    kernel = {"secretmem": {"policy": policy}}
    first, again, other = (run(seed=seed, kernel=kernel) for seed in (7, 7, 8))
    assert first.summary["fingerprint"] == again.summary["fingerprint"]
    assert first.summary["fingerprint"] != other.summary["fingerprint"]


def test_without_randomness_the_seed_does_not_matter() -> None:
    """A pristine machine and a workload without draws."""
    config = {
        "machine": {"memory": "256MiB", "cpus": 1},
        "kernel": {"state": {"profile": "pristine"}},
        "workloads": {"file": {"kind": "one_file", "pages": 100}},
    }
    assert run(config, seed=1).summary["fingerprint"] == run(config, seed=2).summary["fingerprint"]


def test_one_stream_does_not_move_another() -> None:
    """A workload that draws nothing leaves the others' draws as they are."""
    config = {**MIXED, "workloads": {**MIXED["workloads"], "late": {"kind": "one_file", "pages": 1, "start": "1s"}}}
    one, two = run(seed=3), run(config, seed=3)
    assert one.summary["workloads.churn.secret_pages"] == two.summary["workloads.churn.secret_pages"]


@pytest.mark.parametrize("cpus", [1, 2, 5])
@pytest.mark.parametrize("policy", ["page", "pmd_pool"])
def test_batching_is_a_matter_of_speed_alone(policy: str, cpus: int) -> None:
    """The run with one fault per event has the same fingerprint, on any number of CPUs."""
    keys: dict[str, Any] = {"kernel": {"secretmem": {"policy": policy}}, "machine": {"memory": "1GiB", "cpus": cpus}}
    config = {**MIXED, **keys}
    fast, slow = run(config), run(config, batching=False)
    assert fast.summary["fingerprint"] == slow.summary["fingerprint"]
    assert fast.summary["events"] < slow.summary["events"]


def test_batching_out_of_memory() -> None:
    """The same also when tasks are killed."""
    config = {
        "machine": {"memory": "128MiB", "cpus": 2},
        "kernel": {"boot": "bare"},
        "workloads": {
            "bomb": {"kind": "fork_bomb", "tasks": 20, "ordinary_before": 3000, "hold": "3ms"},
            "file": {"kind": "one_file", "pages": 2000, "repeat": 3},
        },
    }
    fast, slow = run(config), run(config, batching=False)
    assert fast.summary["tasks.oom_kills"] > 0
    assert fast.summary["fingerprint"] == slow.summary["fingerprint"]


def test_every_fixed_series_is_there() -> None:
    """Under its name, in the series and, with its final value, in the summary."""
    result = run()
    assert set(FIXED_SERIES) <= set(SERIES)
    for name in SERIES:
        assert int(result.series[name][-1]) == result.summary[name]
    assert result.series.time_ns.dtype == np.int64


def test_the_sizes_add_up() -> None:
    """4K, 2M and 1G together are the direct map, at any time; free memory never exceeds it."""
    series = run().series
    total = np.sum([series[f"direct_map.{size}_bytes"] for size in ("4k", "2m", "1g")], axis=0)
    assert (total == total[0]).all()
    assert abs(int(total[0]) - (1 << 30)) < 1 << 20
    assert (series["memory.free_bytes"] < total).all()


def test_out_of_memory_is_a_result() -> None:
    """More tasks than memory: some are killed and counted, the run ends, and everything is given back."""
    config = {
        "machine": {"memory": "128MiB", "cpus": 2},
        "kernel": {"boot": "bare"},
        "workloads": {"bomb": {"kind": "fork_bomb", "tasks": 60, "ordinary_before": 2000}},
    }
    summary = run(config).summary
    assert summary["tasks.oom_kills"] == summary["tasks.killed.SIGKILL"] > 0
    assert summary["tasks.alive"] == summary["secretmem.pages"] == summary["direct_map.unmapped_bytes"] == 0


def test_a_run_can_be_cut_short() -> None:
    """`until` stops the clock; tasks that live then are seen to live."""
    result = run(until="2ms")
    assert result.summary["simulated_ns"] == 2_000_000
    assert result.summary["tasks.alive"] > 0


def test_a_workload_is_needed() -> None:
    """An experiment without one is refused."""
    with pytest.raises(ConfigError, match="workloads"):
        run({"machine": {"memory": "1GiB"}, "workloads": {}})


@pytest.mark.parametrize("nodes", [1, 2])
def test_nodes_and_profiles(nodes: int) -> None:
    """A fragmented machine splits more than a fresh one for the same file, on one node as on two."""
    splits = {}
    for profile in ("fresh", "fragmented"):
        config = {
            "machine": {"memory": "2GiB", "cpus": 2, "nodes": nodes},
            "kernel": {"state": {"profile": profile}},
            "workloads": {"file": {"kind": "one_file", "pages": 2000}},
        }
        splits[profile] = run(config).summary["direct_map.level2_splits"]
    assert splits["fragmented"] > splits["fresh"]
