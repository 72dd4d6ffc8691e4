"""The model: a machine, its kernel and the workloads on it, built from one configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import pyarrow as pa
import simpy
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.confidence_table import confidence_table
from models.kernel.build import boot_kernel
from models.kernel.config import GroupConfig, KernelConfig, UserConfig, known
from models.kernel.limits import UNLIMITED, Group, User
from models.kernel.observe import SERIES, attach, observe
from models.machine.machine import MachineConfig, build_machine
from models.map_tables import map_tables
from models.workloads.bystander_preset import BystanderConfig
from models.workloads.bystanders import Bystanders
from models.workloads.kcompactd import start_compaction
from models.workloads.merge_scanner import merge_scanner
from models.workloads.registry import AnyWorkload, find_workload
from models.workloads.system import System
from simcore.environment import Environment
from simcore.errors import ConfigError

__all__ = ["DirectMapConfig", "DirectMapModel"]

PAGE_BYTES = 4096


class DirectMapConfig(BaseModel):
    """Everything that the model is told.

    Attributes:
        machine: the hardware.
        kernel: the kernel on it.
        users: limits by name of user; a user that is named nowhere here has the defaults.
        groups: memory control groups by name.
        workloads: who runs, by name; at least one.
        bystanders: who pays for the tiling and the flushes, by name.
        batching: whether one event may do the work of many; the results are the same.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    machine: MachineConfig = MachineConfig()
    kernel: KernelConfig = KernelConfig()
    users: dict[str, UserConfig] = {}
    groups: dict[str, GroupConfig] = {}
    workloads: Annotated[dict[str, AnyWorkload], Field(min_length=1)]
    bystanders: dict[str, BystanderConfig] = {}
    batching: bool = True

    @model_validator(mode="after")
    def _groups_exist(self) -> DirectMapConfig:
        for name, user in self.users.items():
            if user.group is not None:
                known(f"group for user {name}", user.group, list(self.groups))
        for name, group in self.groups.items():
            seen, parent = {name}, group.parent
            while parent is not None:
                known(f"parent of group {name}", parent, list(self.groups))
                if parent in seen:
                    raise ValueError(f"group {name} lies inside itself, by way of {parent}")
                seen.add(parent)
                parent = self.groups[parent].parent
        return self


class DirectMapModel:
    """A run of the model; see `simcore.model.Model`."""

    Config: ClassVar[type[BaseModel]] = DirectMapConfig

    def __init__(self, env: Environment, config: DirectMapConfig) -> None:
        self.config = config
        self.machine = build_machine(config.machine)
        try:
            stream = "kernel.state" if self.machine.snapshot is None else "host.placement"
            self.kernel = boot_kernel(self.machine, config.kernel, env.streams.get(stream))
        except ValueError as error:
            raise ConfigError(str(error), key="machine") from error
        self._vector = env.recorder.vector(list(SERIES))
        attach(self.kernel.state, self._vector.values, *self._vector.store)
        self.system = System(
            env, self.kernel, self.machine.cpus,
            batching=config.batching, on_fault_oom=config.kernel.secretmem.on_fault_oom,
        )  # fmt: skip
        observe(self.kernel.handle, 0)
        self.bystanders = Bystanders(env, self.system, self.machine, config.bystanders)
        self._groups: dict[str, Group] = {}
        self._users: dict[str, User] = {}
        self.workloads = [
            find_workload(part.kind)(
                name, self.system, self._user(part.user), part, env.streams.get(f"workloads.{name}")
            )
            for name, part in config.workloads.items()
        ]
        start_compaction(env, self.system, config.kernel.compaction)
        if config.kernel.merging.policy == "periodic":
            env.process(merge_scanner(self.system, config.kernel.merging.interval))
        self.finished: simpy.Event | None = env.process(self._life(env))

    @classmethod
    def build(cls, env: Environment, config: Any) -> DirectMapModel:
        """Build the machine, boot the kernel, start the workloads."""
        return cls(env, config)

    def _user(self, name: str) -> User:
        """The user of a name, with the default limits if the configuration does not mention them."""
        if name not in self._users:
            part = self.config.users.get(name, UserConfig())
            self._users[name] = User(
                name, part.memlock // PAGE_BYTES, part.processes or UNLIMITED, part.files,
                "ipc_lock" in part.capabilities, None if part.group is None else self._group(part.group),
            )  # fmt: skip
        return self._users[name]

    def _group(self, name: str) -> Group:
        if name not in self._groups:
            part = self.config.groups[name]
            parent = None if part.parent is None else self._group(part.parent)
            self._groups[name] = Group(name, part.limit // PAGE_BYTES, parent)
        return self._groups[name]

    def _life(self, env: Environment) -> Any:
        """All workloads, then what still waits for a grace period."""
        yield env.all_of([env.process(workload.process()) for workload in self.workloads])
        while self.kernel.deferred_since_ns() is not None:
            yield env.timeout(self.system.ticks.period_ns)
        self.bystanders.finish()

    def summary(self) -> Mapping[str, int | float | str]:
        """What the series do not tell: kills, refusals, livelocks, what each workload did."""
        self.system.ranges.tell()
        self.system.broods.tell()
        kernel, clock = self.kernel, self.system.clocks.clock[0]
        pages, compaction = kernel.store.config[0], kernel.compactor.totals[0]
        result: dict[str, int | float | str] = {
            "tasks.livelocked": self.system.livelocked,
            "tasks.oom_kills": kernel.oom_kills,
            "lock.held_ns": int(clock["lock_held_ns"]),
            "lock.waited_ns": int(clock["lock_waited_ns"]),
            "memory.order9_free": kernel.compactor.order9_free(),
            "memory.compaction.attempts": int(compaction["attempts"]),
            "memory.compaction.successes": int(compaction["successes"]),
            "memory.compaction.deferred": int(compaction["deferred"]),
            "memory.compaction.moved_pages": int(compaction["moved"]),
            "memory.steals": int(pages["steals"]),
            "memory.refills": int(pages["refills"]),
            "memory.drains": int(pages["drains"]),
        }
        result["secretmem.fault_mean_ns"] = round(self.system.secret_fault_ns / max(1, self.system.secret_faults))
        for what, count in kernel.policy.results().items():
            result[f"secretmem.{what}"] = count
        for user in self._users.values():
            result[f"users.{user.name}.secret_pages_peak"] = user.secret_pages_peak
        for group in self._groups.values():
            result[f"groups.{group.name}.pages_peak"] = group.peak_pages
            result[f"groups.{group.name}.failures"] = group.failures
            result[f"groups.{group.name}.oom_kills"] = group.kills
        if self.config.kernel.compaction.sample is None:
            result["memory.order9_available"] = kernel.compactor.order9_available()
        for signal, count in sorted(self.system.killed.items()):
            result[f"tasks.killed.{signal}"] = count
        for name, count in sorted(kernel.limits.refusals.items()):
            result[f"refused.{name}"] = count
        for workload in self.workloads:
            for what, count in sorted(workload.progress.items()):
                result[f"workloads.{workload.name}.{what}"] = count
        return result | self.bystanders.summary()

    def state_digest(self) -> bytes:
        """Owner of every page, and the tiling."""
        return self.kernel.state_digest()

    def tables(self) -> Mapping[str, pa.Table]:
        """The direct map over time, region by region; how sure the presets' values are."""
        confidence = confidence_table(self.machine, self.bystanders)
        return {**map_tables(self.kernel.state.direct_map), "confidence": confidence}

    def progress(self) -> Mapping[str, int]:
        """Tasks alive and splits so far."""
        counts = self.kernel.state.counts[0]
        return {
            "tasks": int(counts["tasks_alive"]),
            "secret pages": int(counts["secret_pages"]),
            "splits": self.kernel.split_count(),
        }

    def quantities(self) -> Mapping[str, float]:
        """Constants that conditions may name; and 0 for what the summary mentions only when it has happened."""
        silent = [f"tasks.killed.{signal}" for signal in ("SIGBUS", "SIGKILL")]
        silent += [f"refused.{name}" for name in ("EAGAIN", "EINVAL", "EMFILE", "ENOMEM", "ENOSYS", "EPERM", "SIGBUS")]
        silent += [f"workloads.{each.name}.{what}" for each in self.workloads for what in each.COUNTS]
        return {
            **dict.fromkeys(silent, 0),
            "machine.memory": self.machine.memory.ram_bytes,
            "machine.cpus": self.machine.cpus,
            "machine.nodes": len(self.machine.nodes),
        }
