"""A discrete-event simulation engine: time, randomness, records, experiments, sweeps, results and plots."""

from simcore.run import run

__all__ = ["run"]
