"""Workloads that ask what a mechanism costs, rather than play a part on the machine; by kind."""

from __future__ import annotations

from models.workloads.base import Workload
from models.workloads.flush_storm import FlushStorm, FlushStormConfig
from models.workloads.removal import Removal, RemovalConfig
from models.workloads.shatter import Shatter, ShatterConfig

__all__ = ["PROBES", "ProbeConfig"]

PROBES: dict[str, type[Workload]] = {"flush_storm": FlushStorm, "removal": Removal, "shatter": Shatter}

ProbeConfig = FlushStormConfig | RemovalConfig | ShatterConfig
