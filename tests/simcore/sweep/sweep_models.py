"""A small model for sweeps: a queue that can be varied, and told to fail in every way."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numba
import simpy
from pydantic import BaseModel, ConfigDict

from simcore.environment import Environment
from simcore.units import Bytes


def _spin() -> int:
    """Never return, and never let Python run."""
    count = 0
    while count >= 0:
        count = (count + 1) & 0xFFFF
    return count


spin: Any = numba.njit(_spin)


def compile_spin() -> None:
    spin.compile(())


class QueueConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    customers: int = 50
    service_us: float = 500.0
    policy: Literal["fifo", "double"] = "fifo"
    memory: Bytes = 1 << 30
    busy_s: float = 0.0
    trouble: str = "none"
    scratch: str = ""


class QueueModel:
    """Customers arrive every millisecond on average and are served one at a time."""

    Config: ClassVar[type[BaseModel]] = QueueConfig

    def __init__(self, env: Environment, config: QueueConfig) -> None:
        self.env = env
        self.config = config
        self.served = env.recorder.counter("queue.served")
        self.waiting = env.recorder.level("queue.waiting")
        self.total_wait_ns = 0
        self.server = simpy.Resource(env)
        self.finished: simpy.Event | None = None
        env.process(self._arrivals())

    @classmethod
    def build(cls, env: Environment, config: QueueConfig) -> QueueModel:
        model = cls(env, config)
        model._make_trouble(config.trouble, Path(config.scratch))
        until = time.perf_counter() + config.busy_s
        while time.perf_counter() < until:
            pass
        return model

    def _make_trouble(self, kind: str, scratch: Path) -> None:
        if kind == "raise":
            raise ValueError("this queue is closed")
        if kind == "spin":
            spin()
        if kind == "sleep":
            time.sleep(3600)
        if kind == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "die once":
            flag = scratch / "died"
            if not flag.exists():
                flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        if kind == "raise once":
            flag = scratch / "raised"
            if not flag.exists():
                flag.touch()
                raise ValueError("only this once")
        if kind == "exit":
            raise SystemExit(3)

    def _arrivals(self) -> Generator[simpy.Event, Any, None]:
        arrivals = self.env.streams.get("arrivals")
        services = self.env.streams.get("services")
        for _ in range(self.config.customers):
            yield self.env.timeout(int(arrivals.exponential(1_000_000)))
            mean_ns = 1000 * self.config.service_us * (2 if self.config.policy == "double" else 1)
            self.env.process(self._customer(int(services.exponential(mean_ns))))

    def _customer(self, service_ns: int) -> Generator[simpy.Event, Any, None]:
        arrived = self.env.now
        self.waiting.add(1)
        with self.server.request() as turn:
            yield turn
            self.waiting.add(-1)
            self.total_wait_ns += self.env.now - arrived
            yield self.env.timeout(service_ns)
        self.served.add(1)

    def summary(self) -> Mapping[str, int | float | str]:
        return {"wait_ns": self.total_wait_ns / self.config.customers, "kind": self.config.policy}

    def state_digest(self) -> bytes:
        return str(self.total_wait_ns).encode()

    def progress(self) -> Mapping[str, int]:
        return {}

    def quantities(self) -> Mapping[str, float]:
        return {"memory": float(self.config.memory)}
