"""Limits met by processes that run: who is refused, who is killed, and where that leaves the counts."""

from __future__ import annotations

from typing import Any

import pytest

from simcore.experiment import Experiment
from simcore.simulation import simulate

POLICIES = {
    "page": {}, "pmd_pool": {}, "pmd_pool_fallback": {}, "boot_reserve": {"reserve": "512MiB"},
    "cma": {"reserve": "512MiB"}, "unmapped_cache": {},
}  # fmt: skip


def outcome(workloads: dict[str, Any], policy: str = "page", **keys: Any) -> dict[str, Any]:
    """Summary of a run on a machine of 2 GiB with two CPUs, with peaks as ``peak(series)``."""
    secretmem = {"policy": policy, "options": POLICIES[policy], "on_fault_oom": "kill", **keys.pop("secretmem", {})}
    machine, kernel = {"memory": "2GiB", "cpus": 2}, {"secretmem": secretmem}
    data = {"machine": machine, "kernel": kernel, "workloads": workloads, **keys}
    summary: dict[str, Any] = simulate(Experiment.from_mapping(data)).summary
    return summary | {f"peak({name})": entry["max"] for name, entry in summary["statistics"].items()}


@pytest.mark.parametrize("policy", POLICIES)
def test_per_user_holds_a_bomb_at_the_limit(policy: str) -> None:
    """Exactly the user's 64 pages, whichever policy; everyone over it gets SIGBUS, and nothing is left in the end."""
    result = outcome(
        {"bomb": {"kind": "fork_bomb", "tasks": 40, "secret_pages": 4, "hold": "1s"}},
        policy, users={"user": {"memlock": "256KiB"}}, secretmem={"accounting": "per_user"},
    )  # fmt: skip
    assert result["peak(secretmem.pages)"] == 64
    assert result["users.user.secret_pages_peak"] == 64
    assert result["tasks.killed.SIGBUS"] == result["workloads.bomb.killed_SIGBUS"] >= 40 - 64 // 4
    assert result["secretmem.pages"] == result["tasks.alive"] == 0


@pytest.mark.parametrize("policy", POLICIES)
def test_per_mm_holds_no_bomb(policy: str) -> None:
    """Each of 40 processes of one user has the whole limit."""
    result = outcome(
        {"bomb": {"kind": "fork_bomb", "tasks": 40, "secret_pages": 16}}, policy, users={"user": {"memlock": "64KiB"}}
    )
    assert result["users.user.secret_pages_peak"] == 640
    assert "refused.EAGAIN" not in result


def test_many_users_at_once() -> None:
    """Eight bombs of eight users end at eight limits."""
    names = [f"user{number}" for number in range(8)]
    result = outcome(
        {name: {"kind": "fork_bomb", "user": name, "tasks": 12, "secret_pages": 1, "hold": "1s"} for name in names},
        users={name: {"memlock": f"{16 + 4 * number}KiB"} for number, name in enumerate(names)},
        secretmem={"accounting": "per_user"},
    )  # fmt: skip
    assert [result[f"users.{name}.secret_pages_peak"] for name in names] == [4 + number for number in range(8)]
    assert result["peak(secretmem.pages)"] == sum(range(4, 12))


@pytest.mark.parametrize("limit_pages", [100, 1000])
def test_group_kills_at_its_limit(limit_pages: int) -> None:
    """A process that takes pages until its group is full dies by SIGKILL at exactly the limit, and nobody else does."""
    result = outcome(
        {
            "file": {"kind": "one_file", "user": "held", "pages": 2000},
            "other": {"kind": "fork_bomb", "user": "free", "tasks": 2, "secret_pages": 0, "ordinary_before": 3000},
        },
        groups={"small": {"limit": limit_pages * 4096}},
        users={"held": {"group": "small"}, "free": {}},
    )
    assert result["groups.small.pages_peak"] == limit_pages
    assert result["groups.small.oom_kills"] == result["tasks.oom_kills"] == result["workloads.file.killed_SIGKILL"] == 1
    assert "workloads.other.killed_SIGKILL" not in result
    assert result["secretmem.pages"] == 0


def test_bomb_in_nested_groups() -> None:
    """Two bombs in groups of their own, inside one that is smaller than both together: nobody exceeds any limit."""
    bomb = {"kind": "fork_bomb", "tasks": 400, "secret_pages": 2, "hold": "1s"}
    result = outcome(
        {"a": {**bomb, "user": "left"}, "b": {**bomb, "user": "right", "start": "500ms"}},
        groups={
            "all": {"limit": 5000 * 4096},
            "one": {"limit": 3000 * 4096, "parent": "all"},
            "two": {"limit": 3500 * 4096, "parent": "all"},
        },
        users={"left": {"group": "one"}, "right": {"group": "two"}},
    )
    assert 2900 < result["groups.one.pages_peak"] <= 3000
    assert 1900 < result["groups.two.pages_peak"] <= 2100
    assert 4900 < result["groups.all.pages_peak"] <= 5000
    stopped = [
        result.get(f"workloads.{name}.refused_ENOMEM", 0) + result.get(f"workloads.{name}.killed_SIGKILL", 0)
        for name in "ab"
    ]
    assert min(stopped) > 0
    assert result["tasks.alive"] == 0


def test_group_without_kernel_memory_counts_user_pages_only() -> None:
    """``cgroup.memory=nokmem``: the same bomb gets further, since stacks and page tables are free."""
    tasks = {}
    for kernel_memory in (True, False):
        data = {
            "machine": {"memory": "2GiB"}, "kernel": {"kernel_memory": kernel_memory},
            "groups": {"g": {"limit": 1000 * 4096}}, "users": {"user": {"group": "g"}},
            "workloads": {"bomb": {"kind": "fork_bomb", "tasks": 1000, "in_step": True}},
        }  # fmt: skip
        tasks[kernel_memory] = simulate(Experiment.from_mapping(data)).summary["workloads.bomb.tasks"]
    assert tasks[True] < 1000 / 15
    assert tasks[False] > 2.5 * tasks[True]


def test_group_bounds_page_tables_of_the_adversary() -> None:
    """The filler that no limit on locked memory sees is kernel memory, and counts."""
    result = outcome(
        {"adversary": {"kind": "spread", "secret_pages": 100, "filler_pages": 511}},
        groups={"g": {"limit": 5120 * 4096}}, users={"user": {"group": "g"}},
    )  # fmt: skip
    assert result["groups.g.pages_peak"] == 5120
    assert result["workloads.adversary.secret_pages"] <= 10
    assert result["workloads.adversary.killed_SIGKILL"] == 1


@pytest.mark.parametrize(("policy", "kill"), [("page", "retry"), ("pmd_pool", "kill")])
def test_out_of_memory_is_sigkill(policy: str, kill: str) -> None:
    """The machine is full: SIGKILL, for an order-0 request always, for a chunk on kernels of 2020."""
    result = outcome(
        {"bomb": {"kind": "fork_bomb", "tasks": 2000, "secret_pages": 512}}, policy,
        secretmem={"on_fault_oom": kill}, machine={"memory": "512MiB", "cpus": 2},
    )  # fmt: skip
    assert result["tasks.killed.SIGKILL"] > 0
    assert result["tasks.livelocked"] == 0


def test_a_pool_without_memory_livelocks_on_6_1() -> None:
    """The order is costly, nobody is killed, the fault is retried for ever."""
    result = outcome(
        {"files": {"kind": "many_files", "files": 400}}, "pmd_pool",
        secretmem={"on_fault_oom": "retry"}, machine={"memory": "512MiB", "cpus": 2},
    )  # fmt: skip
    assert result["tasks.livelocked"] == 1
    assert result["tasks.oom_kills"] == 0
    assert result["workloads.files.files"] < 256


def test_the_cache_gives_back_before_anybody_is_killed() -> None:
    """Ordinary memory that does not fit beside an idle cache gets the cache's blocks."""
    result = outcome(
        {
            "files": {"kind": "one_file", "user": "a", "pages": 30000},
            "ordinary": {
                "kind": "fork_bomb", "user": "b", "start": "5s",
                "tasks": 1, "secret_pages": 0, "ordinary_before": 100000,
            },
        },
        "unmapped_cache", machine={"memory": "512MiB", "cpus": 2}, users={"a": {"memlock": "512MiB"}, "b": {}},
    )  # fmt: skip
    assert result["secretmem.blocks_taken"] >= 30000 // 512
    assert result["secretmem.blocks_given"] >= 30
    assert result["tasks.oom_kills"] == 0


def test_touch_unmap_keep_the_file() -> None:
    """One process, 16 times its limit under `per_mm`; the limit under `per_user`."""
    files = {"files": {"kind": "many_files", "files": 64, "pages": 16, "keep_mapped": False}}
    users = {"user": {"memlock": "256KiB"}}
    assert outcome(files, users=users)["peak(secretmem.pages)"] == 1024
    held = outcome(files, users=users, secretmem={"accounting": "per_user"})
    assert held["peak(secretmem.pages)"] == 64
    assert held["tasks.killed.SIGBUS"] == 1


def test_nproc_and_nofile() -> None:
    """EAGAIN for the process too many, EMFILE for the file too many; the workload ends in good order."""
    result = outcome({"bomb": {"kind": "fork_bomb", "tasks": 100}}, users={"user": {"processes": 30}})
    assert (result["workloads.bomb.refused_EAGAIN"], result["peak(tasks.alive)"], result["tasks.alive"]) == (1, 30, 0)
    result = outcome({"files": {"kind": "many_files", "files": 100}}, users={"user": {"files": 30}})
    assert (result["workloads.files.refused_EMFILE"], result["peak(secretmem.pages)"]) == (1, 30)
