"""Background compaction as a kernel thread in time, and the blocks of 2 MiB that are left, as a series."""

from __future__ import annotations

from models.kernel.config import CompactionConfig
from models.workloads.kernel_thread import kernel_thread
from models.workloads.system import System
from models.workloads.waits import Wait
from simcore.environment import Environment

__all__ = ["start_compaction"]


def start_compaction(env: Environment, system: System, config: CompactionConfig) -> None:
    """Start what the configuration asks for: rounds over the zones in turn, samples of what can still be had."""
    if config.interval is not None:
        compactor, budget = system.kernel.compactor, config.budget
        env.process(kernel_thread(system, config.interval, lambda cpu: compactor.background(cpu, budget)))
    if config.sample is not None:
        env.process(_sample(env, system, config.sample))


def _sample(env: Environment, system: System, interval_ns: int) -> Wait:
    compactor = system.kernel.compactor
    level = env.recorder.level("memory.order9_available", compactor.order9_available())
    while True:
        yield env.timeout(interval_ns)
        level.set(compactor.order9_available())
