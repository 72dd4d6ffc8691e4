"""A small model for the engine's own tests: a queue with exponential arrivals and services."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping
from typing import Any, Literal

import simpy
from pydantic import BaseModel, ConfigDict, Field

from simcore.environment import Environment
from simcore.errors import ConfigError
from simcore.units import Bytes, Nanoseconds


class QueueConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    servers: int = Field(default=1, ge=1, le=64)
    mean_gap: Nanoseconds = 1000
    mean_service: Nanoseconds = 500
    customers: int | None = Field(default=100, ge=1)
    buffer: Bytes = 4096
    order: Literal["fifo", "lifo"] = "fifo"
    batching: bool = True
    crash: bool = False


class QueueModel:
    """Customers come, wait in line, are served by one of several servers, and go."""

    Config = QueueConfig

    def __init__(self, env: Environment, config: QueueConfig) -> None:
        self.env = env
        self.config = config
        self.finished: simpy.Event | None = env.event() if config.customers is not None else None
        self.present = env.recorder.level("queue.present")
        self.waiting = env.recorder.level("queue.waiting")
        self.served = env.recorder.counter("queue.served")
        self.stay = env.recorder.tally("queue.stay_ns")
        self.wait = env.recorder.tally("queue.wait_ns")
        self.memory = env.recorder.level("queue.memory_bytes")
        self._line: deque[int] = deque()
        self._free = config.servers
        self._services = env.streams.get("services")
        env.process(self._arrivals())

    @classmethod
    def build(cls, env: Environment, config: QueueConfig) -> QueueModel:
        if config.servers == 13:
            raise ConfigError("13 servers are bad luck", key="servers", expected="another number")
        return cls(env, config)

    def _arrivals(self) -> Generator[simpy.Event, Any, None]:
        gaps = self.env.streams.get("arrivals")
        count = 0
        while self.config.customers is None or count < self.config.customers:
            yield self.env.timeout(round(gaps.exponential(self.config.mean_gap)))
            if self.config.crash:
                raise RuntimeError("the model has a bug")
            count += 1
            self.present.add(1)
            self.memory.add(self.config.buffer)
            self._line.append(self.env.now)
            self.waiting.set(len(self._line))
            self._serve()

    def _serve(self) -> None:
        if self._free and self._line:
            self._free -= 1
            came = self._line.popleft() if self.config.order == "fifo" else self._line.pop()
            self.waiting.set(len(self._line))
            self.env.process(self._service(came))

    def _service(self, came: int) -> Generator[simpy.Event, Any, None]:
        self.wait.observe(self.env.now - came)
        yield self.env.timeout(round(self._services.exponential(self.config.mean_service)))
        self._free += 1
        self.present.add(-1)
        self.memory.add(-self.config.buffer)
        self.served.add()
        self.stay.observe(self.env.now - came)
        if self.finished is not None and self.served.value == self.config.customers:
            self.finished.succeed()
        self._serve()

    def summary(self) -> Mapping[str, int | float | str]:
        return {"queue.order": self.config.order, "queue.left": len(self._line)}

    def state_digest(self) -> bytes:
        return repr((self._free, list(self._line))).encode()

    def progress(self) -> Mapping[str, int]:
        return {"customers": self.served.value}

    def quantities(self) -> Mapping[str, float]:
        return {"servers": self.config.servers, "buffer": self.config.buffer}
