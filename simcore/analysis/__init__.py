"""Statistics of simulation output, usable on any table or array."""

from simcore.analysis.intervals import (
    Interval,
    batch_means_interval,
    holm,
    mean_interval,
    paired_differences,
    summarise,
)
from simcore.analysis.sensitivity import sobol_indices
from simcore.analysis.tables import AnalysisError
from simcore.analysis.warmup import Truncation, mser5, resample, welch, welch_warmup

__all__ = [
    "AnalysisError",
    "Interval",
    "Truncation",
    "batch_means_interval",
    "holm",
    "mean_interval",
    "mser5",
    "paired_differences",
    "resample",
    "sobol_indices",
    "summarise",
    "welch",
    "welch_warmup",
]
