"""Runs for tests of pictures: small, and every mark of the map in them."""

from __future__ import annotations

from functools import cache
from typing import Any

from simcore.experiment import Experiment
from simcore.result import Result
from simcore.simulation import simulate

HOSTILE = "<script>window.attacked = true</script> & </script><b>\"'"

FORK_BOMB: dict[str, Any] = {
    "name": HOSTILE,
    "description": "A page for every task. <img src=x onerror='window.attacked = true'>",
    "machine": {"memory": "4GiB", "cpus": 2},
    "workloads": {"bomb": {"kind": "fork_bomb", "tasks": 300, "secret_pages": 1, "hold": "1ms"}},
    "expect": {"direct_map.level2_splits": "> 0", "tasks.alive": "== 0"},
}


POLICIES = ("page", "pmd_pool", "pmd_pool_fallback", "boot_reserve", "cma", "unmapped_cache")


@cache
def fork_bomb(policy: str = "page") -> Result:
    options = {"reserve": "1GiB"} if policy in {"boot_reserve", "cma"} else {}
    kernel = {"secretmem": {"policy": policy, "options": options}}
    return simulate(Experiment.from_mapping({**FORK_BOMB, "kernel": kernel}))
