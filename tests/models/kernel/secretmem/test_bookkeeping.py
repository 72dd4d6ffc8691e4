"""Whatever files come and go, under every policy every page is in one place and every count returns to nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.kernel.entities import Mapping, SecretFile
from models.kernel.errors import FaultResult, KernelRefusal
from models.kernel.limits import Group
from tests.models.kernel.machines import PageCensus
from tests.models.kernel.secret_steps import absent_pages, let_go, open_file, secret_kernel, task_of

CASES: list[tuple[str, dict[str, Any]]] = [
    ("page", {}),
    ("pmd_pool", {}),
    ("pmd_pool", {"version": "v8", "removal": "page"}),
    ("pmd_pool_fallback", {}),
    ("boot_reserve", {"reserve": "64MiB"}),
    ("cma", {"reserve": "64MiB"}),
    ("unmapped_cache", {}),
]


@pytest.mark.parametrize("accounting", ["per_mm", "per_user"])
@pytest.mark.parametrize(("policy", "options"), CASES)
def test_churn_until_memory_runs_out_and_back(policy: str, options: dict[str, Any], accounting: str) -> None:
    """Random files on a machine that is too small for them: some faults fail, and nothing is lost."""
    kernel = secret_kernel(
        policy, options, machine={"memory": "192MiB", "cpus": 2}, secretmem={"accounting": accounting}
    )
    random, group = np.random.default_rng(7), Group("g")
    task = task_of(kernel, memlock_pages=1 << 20, group=group)
    # So little is left that every policy meets the end of memory.
    ordinary = kernel.touch(task, 0, 20000 if policy in {"boot_reserve", "cma"} else 30000)
    assert ordinary.result is FaultResult.DONE
    taken, results = group.pages, set()
    files: list[tuple[SecretFile, Mapping]] = []
    for _ in range(400):
        if files and random.random() < 0.4:
            let_go(kernel, task, *files.pop(int(random.integers(len(files)))))
            continue
        pages = int(random.integers(1, 1500))
        try:
            files.append(open_file(kernel, task, pages))
        except KernelRefusal:  # not even an inode is to be had
            results.add(FaultResult.OOM)
            continue
        results.add(kernel.fault(task, files[-1][1], int(random.integers(2)), pages).result)
    assert set(kernel.limits.refusals) <= {"ENOMEM"}
    assert FaultResult.DONE in results
    assert FaultResult.OOM in results
    assert task.user.secret_pages == sum(file.present for file, _ in files)
    assert int(kernel.state.counts[0]["secret_pages"]) == task.user.secret_pages
    assert int(kernel.state.direct_map.counters[0]["unmapped_pages"]) == len(absent_pages(kernel))
    PageCensus(kernel.store)
    for file, mapping in files:
        let_go(kernel, task, file, mapping)
    kernel.policy.shrink(0)
    assert (task.user.secret_pages, int(kernel.state.counts[0]["secret_pages"]), group.pages) == (0, 0, taken)
    kept = 64 << 8 if policy == "boot_reserve" else 0
    assert int(kernel.state.direct_map.counters[0]["unmapped_pages"]) == len(absent_pages(kernel)) == kept
    PageCensus(kernel.store)
