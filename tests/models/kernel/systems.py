"""Systems for tests of workloads: a small machine, its clock, and workloads by hand."""

from __future__ import annotations

from typing import Any

from models.direct_map_model import DirectMapModel
from models.kernel.kernel import Kernel
from models.kernel.limits import User
from models.workloads.cpus import Cpus
from models.workloads.fair_cpus import FairCpu
from models.workloads.system import System
from models.workloads.thread import Thread
from simcore.environment import Environment
from simcore.experiment import Experiment
from simcore.result import Result
from simcore.simulation import simulate
from tests.models.kernel.machines import boot, check_pages
from tests.models.kernel.ownership import check_owners

SMALL = {"memory": "256MiB", "cpus": 2}
BARE = {"boot": "bare", "state": {"profile": "pristine"}}


def system(
    cpus: int = 1, memory: str = "64MiB", *, batching: bool = True, fair: bool = False, **secretmem: Any
) -> System:
    """A system of threads on a machine without a boot's leftovers."""
    kernel = boot({"memory": memory, "cpus": cpus}, {"secretmem": secretmem} if secretmem else None)
    return System(Environment(), kernel, cpus, batching=batching, cpus_type=FairCpu if fair else Cpus)


def thread_of(system: System, user: User | None = None) -> Thread:
    return Thread(system, system.kernel.first_task(user or User("user")), 0 if system.fair else -1)


def experiment(workloads: dict[str, Any], **keys: Any) -> Experiment:
    """An experiment on a small machine without a boot's leftovers."""
    kernel = {**BARE, **keys.pop("kernel", {})}
    return Experiment.from_mapping({"name": "test", "machine": SMALL, "kernel": kernel, "workloads": workloads, **keys})


def run(workloads: dict[str, Any], **keys: Any) -> Result:
    return simulate(experiment(workloads, **keys))


def run_model(workloads: dict[str, Any], **keys: Any) -> Kernel:
    """Run to the end, and check the kernel's books there; returns the kernel."""
    chosen = experiment(workloads, **keys)
    env = Environment(chosen.keys.seed)
    model = DirectMapModel.build(env, chosen.config)
    while env.advance(1000):
        pass
    # The first report of a task fills a page of a pipe that is nobody's.
    check_owners_of(model.kernel, int(model.kernel.reported))
    return model.kernel


def check_owners_of(kernel: Kernel, kernels_own: int = 0) -> None:
    check_owners(kernel, check_pages(kernel.store), kernels_own=kernels_own)
