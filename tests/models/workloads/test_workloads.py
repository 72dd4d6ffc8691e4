"""Each workload does what it says, under both policies, and leaves nothing behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.models.kernel.machines import absent_pages
from tests.models.kernel.systems import run, run_model

PAGE = 4096
POLICIES = ("page", "pmd_pool")
WORKLOADS: dict[str, dict[str, Any]] = {
    "one_file": {"kind": "one_file", "pages": 300, "repeat": 2, "hold": "1ms"},
    "many_files": {"kind": "many_files", "files": 20, "pages": 3},
    "many_files_unmapped": {"kind": "many_files", "files": 20, "pages": 3, "keep_mapped": False},
    "fork_bomb": {"kind": "fork_bomb", "tasks": 25, "ordinary_before": 3, "ordinary_after": 2},
    "fork_bomb_in_step": {"kind": "fork_bomb", "tasks": 25, "in_step": True, "inherit": True, "hold": "2ms"},
    "fork_bomb_tree": {"kind": "fork_bomb", "tasks": 25, "growth": "tree", "branches": 3},
    "fork_bomb_in_phases": {"kind": "fork_bomb", "tasks": 25, "in_step": True, "in_phases": True, "ordinary_before": 2},
    "spread_page_tables": {"kind": "spread", "secret_pages": 5, "filler_pages": 40},
    "spread_ordinary": {"kind": "spread", "secret_pages": 5, "filler_pages": 40, "filler": "ordinary"},
    "spread_pipe": {"kind": "spread", "secret_pages": 5, "filler_pages": 40, "filler": "pipe"},
    "spread_secret": {"kind": "spread", "secret_pages": 5, "filler_pages": 40, "filler": "secret"},
    "churn": {"kind": "churn", "steps": 60, "slots": 8, "max_pages": 5, "max_ordinary": 3},
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", WORKLOADS)
def test_nothing_is_left(name: str, policy: str) -> None:
    """At the end all tasks are gone, all pages are present, and the books agree."""
    kernel = run_model({"it": WORKLOADS[name]}, kernel={"secretmem": {"policy": policy}})
    assert not kernel.tasks
    assert absent_pages(kernel.store) == 0
    assert int(kernel.state.counts[0]["secret_pages"]) == 0
    assert kernel.limits.refusals == {}
    assert kernel.deferred_since_ns() is None


@pytest.mark.parametrize("name", WORKLOADS)
def test_one_fault_per_event_gives_the_same(name: str) -> None:
    """Batching changes nothing but the number of events."""
    for policy in POLICIES:
        results = [
            run({"it": WORKLOADS[name]}, kernel={"secretmem": {"policy": policy}}, batching=batching)
            for batching in (True, False)
        ]
        fast, slow = (result.summary for result in results)
        assert fast["fingerprint"] == slow["fingerprint"]
        assert fast["simulated_ns"] == slow["simulated_ns"]
        assert fast["events"] <= slow["events"]


def test_one_file_holds_its_pages() -> None:
    """All pages are there at once, for as long as they are held, as often as is asked."""
    result = run({"file": {"kind": "one_file", "pages": 50, "repeat": 3, "hold": "5ms"}})
    present = result.series["secretmem.pages"]
    assert int(np.max(present)) == 50
    assert result.summary["workloads.file.secret_pages"] == 150
    assert result.summary["simulated_ns"] > 15_000_000


def test_many_files_stop_at_the_limit() -> None:
    """What fits under RLIMIT_MEMLOCK is opened; unmapping gives the budget back, so that there is no end."""
    users = {"user": {"memlock": "40KiB"}}
    files = {"kind": "many_files", "files": 20, "pages": 1}
    kept = run({"files": files}, users=users)
    assert (kept.summary["workloads.files.files"], kept.summary["refused.EAGAIN"]) == (10, 1)
    unmapped = run({"files": {**files, "keep_mapped": False}}, users=users)
    assert unmapped.summary["workloads.files.files"] == 20
    assert "refused.EAGAIN" not in unmapped.summary


@pytest.mark.parametrize("growth", ["parent", "tree"])
def test_a_fork_bomb_has_all_its_tasks_at_once(growth: str) -> None:
    """Tasks hold their page until all are there."""
    result = run({"bomb": {"kind": "fork_bomb", "tasks": 30, "growth": growth}})
    assert int(np.max(result.series["tasks.alive"])) == 31
    assert int(np.max(result.series["secretmem.pages"])) == 30
    assert result.summary["tasks.alive"] == 0


@pytest.mark.parametrize("growth", ["parent", "tree"])
@pytest.mark.parametrize("in_step", [False, True])
def test_a_fork_bomb_that_is_stopped_ends(growth: str, in_step: bool) -> None:
    """At RLIMIT_NPROC the tasks that are there do not wait for those that never come."""
    bomb = {"kind": "fork_bomb", "tasks": 30, "growth": growth, "in_step": in_step}
    result = run({"bomb": bomb}, users={"user": {"processes": 9}})
    assert result.summary["workloads.bomb.tasks"] == 8
    assert result.summary["tasks.alive"] == 0
    assert result.summary["refused.EAGAIN"] >= 1


def test_a_fork_bomb_whose_parent_dies_ends() -> None:
    """Out of memory, with the forking task as the largest: nobody waits for ever."""
    bomb = {"kind": "fork_bomb", "tasks": 40, "ordinary_before": 3000}
    hog = {"kind": "spread", "secret_pages": 1, "filler": "ordinary", "filler_pages": 30000}
    result = run({"bomb": bomb, "hog": hog})
    assert result.summary["tasks.oom_kills"] > 0
    assert result.summary["tasks.alive"] == result.summary["secretmem.pages"] == 0


def test_tasks_may_live_for_a_fixed_time() -> None:
    """With a hold, tasks end while others are still forked."""
    result = run({"bomb": {"kind": "fork_bomb", "tasks": 60, "hold": "100us", "rate": 5000}})
    assert int(np.max(result.series["tasks.alive"])) < 30
    assert result.summary["workloads.bomb.tasks"] == 60


def test_spread_frees_its_filler_and_keeps_its_secrets() -> None:
    """Between the last secret page and the end of the hold, the filler is gone."""
    spread = {"kind": "spread", "secret_pages": 20, "filler_pages": 400, "hold": "50ms"}
    result = run({"spread": spread}, machine={"memory": "256MiB", "cpus": 1})
    series = result.series
    free = series["memory.free_bytes"] + series["memory.per_cpu_bytes"]
    full = np.flatnonzero(series["secretmem.pages"] == 20)
    assert int(free[full[0]]) < int(free[0]) - 20 * 400 * PAGE
    assert int(free[full[-1]]) > int(free[0]) - 400 * PAGE
    assert series.time_ns[full[-1] + 1] - series.time_ns[full[-1]] > 40_000_000
    assert result.summary["direct_map.level2_splits"] >= 15


def test_churn_depends_on_the_seed() -> None:
    """Another seed, other files; the same seed, the same ones."""
    churn = {"it": WORKLOADS["churn"]}
    first, again, other = (run(churn, seed=seed).summary for seed in (1, 1, 2))
    assert first["fingerprint"] == again["fingerprint"] != other["fingerprint"]


def test_start_and_rate() -> None:
    """A workload begins when it is told to and no faster."""
    result = run({"files": {"kind": "many_files", "files": 10, "start": "3ms", "rate": 1000}})
    series = result.series
    begun = int(series.time_ns[np.flatnonzero(series["secretmem.pages"] > 0)[0]])
    assert 3_000_000 <= begun < 4_000_000
    last = int(series.time_ns[np.flatnonzero(series["secretmem.pages"] == 10)[0]])
    assert 12_000_000 <= last < 13_000_000


def test_workloads_run_side_by_side() -> None:
    """Each has its own user, and its own limits."""
    result = run(
        {
            "first": {"kind": "many_files", "files": 10, "user": "alice"},
            "second": {"kind": "many_files", "files": 10, "user": "bob"},
        },
        users={"alice": {"memlock": "16KiB"}},
    )
    assert result.summary["workloads.first.files"] == 4
    assert result.summary["workloads.second.files"] == 10
