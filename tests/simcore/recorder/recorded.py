"""What a recorder's tests share: time that passes, and what has been recorded of a series."""

from __future__ import annotations

from typing import Any

from simcore.environment import Environment


def wait(env: Environment, delay_ns: int) -> None:
    """Let simulated time pass."""
    env.run(until=env.timeout(delay_ns))


def column(env: Environment, name: str) -> tuple[list[int], list[Any]]:
    """Return the times, ns, and values of a series."""
    found = next(column for column in env.recorder.columns() if column.name == name)
    return found.columns.times.tolist(), found.columns.last(found.position).tolist()
