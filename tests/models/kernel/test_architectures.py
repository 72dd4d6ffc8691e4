"""Architectures: what arm64's linear map looks like, whether it can be changed, how it flushes."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from pydantic import ValidationError

from models.kernel.errors import KernelRefusal
from models.kernel.kernel import Kernel
from models.kernel.limits import User
from models.machine.machine import MachineConfig
from simcore.experiment import Experiment
from simcore.simulation import simulate
from tests.models.kernel.machines import MapIdentity, boot

ARM = {"memory": "4GiB", "cpus": 4, "arch": "arm64"}


def counters(kernel: Kernel) -> Any:
    return kernel.state.direct_map.counters[0]


def one_secret_page(kernel: Kernel) -> None:
    task = kernel.first_task(User("user"))
    file = kernel.memfd_secret(task, 0)
    kernel.ftruncate(file, 1)
    assert kernel.fault(task, kernel.mmap(task, file, 1, 0), 0).done == 1


def test_arm64_before_6_18_maps_everything_at_4k() -> None:
    """A map that can be changed page by page has no blocks there, so that nothing is left to split."""
    kernel = boot(ARM)
    assert counters(kernel)["pages_2m"] == counters(kernel)["pages_1g"] == 0
    one_secret_page(kernel)
    assert counters(kernel)["level2_splits"] == counters(kernel)["level3_splits"] == 0
    assert counters(kernel)["unmapped_pages"] == 1


def test_arm64_without_rodata_full_has_blocks_and_no_secret_memory() -> None:
    """`can_set_direct_map()` is false: memfd_secret is ENOSYS."""
    kernel = boot({**ARM, "boot": {"rodata_full": False}})
    assert counters(kernel)["pages_1g"] > 0
    with pytest.raises(KernelRefusal) as refusal:
        kernel.memfd_secret(kernel.first_task(User("user")), 0)
    assert refusal.value.errno == errno.ENOSYS


def test_bbml2_splits_on_demand() -> None:
    """6.18 on a CPU with BBML2_NOABORT: blocks, one of which is split twice for one secret page."""
    kernel = boot({**ARM, "boot": {"bbml2": True}})
    identity = MapIdentity(kernel.state.direct_map)
    assert counters(kernel)["pages_1g"] > 0
    one_secret_page(kernel)
    assert counters(kernel)["level2_splits"] + counters(kernel)["level3_splits"] >= 1
    identity.check()


def test_bbml2_is_of_arm64() -> None:
    """An x86 machine with it is refused."""
    with pytest.raises(ValidationError, match="arm64"):
        MachineConfig.model_validate({"memory": "4GiB", "boot": {"bbml2": True}})


@pytest.mark.parametrize(
    ("machine", "interrupts"),
    [({}, True), ({"flush": "invlpgb"}, False), ({"arch": "arm64"}, False)],
)
def test_broadcast_invalidation_interrupts_nobody(machine: dict[str, Any], interrupts: bool) -> None:
    """arm64 and AMD's INVLPGB tell the other CPUs by hardware: flushes are counted, and cost the others nothing."""
    kernel = boot({"memory": "4GiB", "cpus": 4, **machine})
    one_secret_page(kernel)
    charge = kernel.state.charge[0]
    assert charge["flushes"] >= 1
    assert bool(charge["interrupted_ns"]) == interrupts


def test_a_whole_run_on_arm64() -> None:
    """The same workload, by architecture: a map of 4K only, and one that is split on demand."""
    results = {}
    for bbml2 in (False, True):
        experiment = {
            "name": "arm",
            "machine": {**ARM, "boot": {"bbml2": bbml2}},
            "workloads": {"bomb": {"kind": "fork_bomb", "tasks": 40, "hold": "1ms"}},
        }
        results[bbml2] = simulate(Experiment.from_mapping(experiment)).summary
    assert results[False]["direct_map.4k_bytes"] > 3.9 * (1 << 30)
    assert results[False]["direct_map.level2_splits"] == 0 < results[True]["direct_map.level2_splits"]
    assert results[True]["direct_map.4k_bytes"] < 0.1 * (1 << 30)
