"""Compiles the model's array kernels once, so that no run has to: ``python -m models.warm_up``."""

from __future__ import annotations

import sys

from simcore.experiment import Experiment
from simcore.simulation import simulate

__all__ = ["EXPERIMENT", "main"]

EXPERIMENT = {
    "name": "warm_up",
    "machine": {"memory": "1GiB", "cpus": 2},
    "workloads": {
        "bomb": {"kind": "fork_bomb", "tasks": 4, "ordinary_before": 2, "in_step": True},
        "plain": {"kind": "fork_bomb", "tasks": 4, "user": "other"},
        "file": {"kind": "one_file", "pages": 80},
        "spread": {"kind": "spread", "secret_pages": 2, "filler_pages": 4},
        "churn": {"kind": "churn", "steps": 8, "slots": 2, "max_pages": 4, "max_ordinary": 2},
    },
}
"""A small experiment that goes through every compiled path."""


def main() -> None:
    """Run it under both kinds of policy."""
    print("compiling the model; this happens once after an installation or a change", file=sys.stderr)
    for policy in ("page", "pmd_pool"):
        simulate(Experiment.from_mapping({**EXPERIMENT, "kernel": {"secretmem": {"policy": policy}}}))


if __name__ == "__main__":
    main()
