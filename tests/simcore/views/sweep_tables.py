"""Tables of sweeps that a test can count through."""

from __future__ import annotations

from typing import Any

import numpy as np


def table(policies: int = 2, memory: int = 3, replications: int = 4) -> dict[str, list[Any]]:
    random = np.random.default_rng(1)
    made: dict[str, list[Any]] = {name: [] for name in ("policy", "memory", "replication", "direct_map.4k_bytes")}
    for policy in range(policies):
        for size in range(memory):
            for replication in range(replications):
                made["policy"].append(f"policy{policy}")
                made["memory"].append(1 << (30 + size))
                made["replication"].append(replication)
                made["direct_map.4k_bytes"].append(4096 * int(random.integers(1000, 2000) * (policy + 1)))
    return made
