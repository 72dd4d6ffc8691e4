"""How far a simulated run may be from its recording, and the comparisons that apply it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.host.comparison import Comparison, Divergence, Row, Series, Worst
from models.host.recording import AllocatorRecording, CountersRecording

__all__ = [
    "SAMPLED",
    "compare_placements",
    "compare_replay",
    "compare_simulation",
    "has_given_events",
    "simulated_samples",
    "split_allowance",
]

#: What is compared at each sample, by the names of the samples of ``allocator/``.
SAMPLED = (
    "level2_splits",
    "level3_splits",
    "direct_map_4k_kb",
    "direct_map_2m_kb",
    "direct_map_1g_kb",
    "free_kb",
    "unique_2m_regions",
    "unique_1g_regions",
)
#: Events that a simulation of the workload cannot know of: partial steals, isolations, rotations, reclaim.
_GIVEN = "YILR"
#: Workloads whose splits follow from the state alone.
_DETERMINED = ("one_memfd", "many_memfds", "adversary_anon", "adversary_fill")
#: Workloads whose secret pages are nearly all where they were.
_PLACED = ("one_memfd", "adversary_anon", "adversary_fill")

_FEW_SPLITS = 20
_FREE_SHARE = 0.01
_KB_PER_2M_SPLIT = 2 << 10
_KB_PER_1G_SPLIT = 1 << 20
_PAGES_PER_2M = 9

Values = NDArray[np.float64]
Allowance = Callable[[Values], Values]


def has_given_events(recording: AllocatorRecording) -> bool:
    """Return whether the recording has events that no simulation can know of (``Y``, ``I``, ``L``, ``R``)."""
    return bool(np.isin(recording.events.op, list(_GIVEN.encode())).any())


def split_allowance(recording: AllocatorRecording) -> tuple[Allowance, str]:
    """Return how far a number of splits may be off, as a function of the recorded one, and in words."""
    if has_given_events(recording):
        return (lambda recorded: 0.05 * recorded), "within 5 %"
    if recording.workload.type in _DETERMINED:
        return np.zeros_like, "exact"
    return (
        lambda recorded: np.where(recorded < _FEW_SPLITS, 1.0, 0.02 * recorded)
    ), f"within 1 below {_FEW_SPLITS}, 2 % above"


def simulated_samples(recording: AllocatorRecording) -> list[int]:
    """Return the indices of the samples that a simulation from ``initial`` can be compared at."""
    return [sample.index for sample in recording.samples if sample.event_index is not None]


def compare_replay(
    recording: AllocatorRecording, counts: Mapping[str, tuple[int, int]], divergence: Divergence | None
) -> Comparison:
    """Return the outcome of a replay.

    Args:
        recording: What was replayed.
        counts: Kind of event, or part of the end state, to (exact, total).
        divergence: The first difference, if there is one.
    """
    rows = [Row.counted(what, exact, total) for what, (exact, total) in counts.items()]
    return Comparison("replay", recording.name, rows, "exact", first_divergence=divergence)


def compare_simulation(
    recording: AllocatorRecording, simulated: Mapping[str, NDArray[np.int64]], secret_pfns: NDArray[np.int64]
) -> Comparison:
    """Return the outcome of a simulated workload.

    Args:
        recording: What it is compared with.
        simulated: Each of `SAMPLED` to its values at `simulated_samples`.
        secret_pfns: Frame of every secret page in fault order.

    Raises:
        ValueError: A series is missing or has another length than the samples.
    """
    kept = [recording.samples[index] for index in simulated_samples(recording)]
    labels, time_ns = [sample.label for sample in kept], np.array([sample.time_ns for sample in kept])
    splits, words = split_allowance(recording)
    recorded = {name: _known([float(getattr(sample, name)) for sample in kept]) for name in SAMPLED}
    level2, level3 = splits(recorded["level2_splits"]), splits(recorded["level3_splits"])
    allowed: dict[str, Values] = {
        "level2_splits": level2,
        "level3_splits": level3,
        "direct_map_4k_kb": _KB_PER_2M_SPLIT * level2,
        "direct_map_2m_kb": _KB_PER_2M_SPLIT * level2 + _KB_PER_1G_SPLIT * level3,
        "direct_map_1g_kb": _KB_PER_1G_SPLIT * level3,
        "free_kb": _FREE_SHARE * recorded["free_kb"],
    }
    rows, series = [], []
    for name in SAMPLED:
        values = simulated.get(name)
        if values is None or len(values) != len(kept):
            raise ValueError(
                f"{name}: {'missing' if values is None else len(values)}, expected {len(kept)} values"
            )
        one = Series(name, time_ns, recorded[name], values.astype(np.float64))
        series.append(one)
        asked = "within 1 %" if name == "free_kb" else words
        rows.append(_sampled(one, labels, allowed.get(name), asked))
    share = 0.95 if recording.workload.type in _PLACED else 0.80
    rows += _frames(recording.secret_pfns, secret_pfns, share)
    tolerance = (
        f"splits {words}, DirectMap counters accordingly, free memory within 1 %, {share:.0%} of frames"
    )
    return Comparison("simulate", recording.name, rows, tolerance, series)


def compare_placements(
    recording: CountersRecording, runs: Mapping[str, Sequence[NDArray[np.int64]]]
) -> Comparison:
    """Return the outcome of several placements of the free blocks.

    Args:
        recording: What they are compared with.
        runs: ``level2_splits`` and ``level3_splits`` to one array for each placement, a value per sample.

    Raises:
        ValueError: A series is missing, or a run has another length than the samples.
    """
    labels = [sample.label for sample in recording.samples]
    time_ns = np.array([sample.time_ns for sample in recording.samples])
    rows, series = [], []
    for name in ("level2_splits", "level3_splits"):
        values = np.array([run.astype(np.float64) for run in runs.get(name, ())])
        if values.ndim != 2 or values.shape[1] != len(labels):
            raise ValueError(
                f"{name}: shape {values.shape}, expected a row for each placement of {len(labels)} values"
            )
        recorded = np.array([float(getattr(sample, name)) for sample in recording.samples])
        low, median, high = values.min(axis=0), np.median(values, axis=0), values.max(axis=0)
        series.append(Series(name, time_ns, recorded, median, low, high))
        last = float(median[-1])
        allowed = max(3.0, 0.05 * last)
        inside = bool(low[-1] <= recorded[-1] <= high[-1])
        near = bool(abs(last - recorded[-1]) <= allowed)
        rows.append(
            Row(
                name,
                int(np.count_nonzero(values[:, -1] == recorded[-1])),
                len(values),
                f"inside {low[-1]:.0f} to {high[-1]:.0f}, median within {allowed:.1f}",
                inside and near,
                Worst(labels[-1], last, float(recorded[-1]), allowed),
            )
        )
    return Comparison(
        "counters", recording.name, rows, "inside the range, and within max(3, 5 %) of the median", series
    )


def _known(values: list[float]) -> Values:
    array = np.array(values)
    array[array < 0] = np.nan
    return array


def _sampled(series: Series, labels: list[str], allowed: Values | None, asked: str) -> Row:
    """Return the row of a series; without ``allowed`` nothing is asked."""
    known = np.flatnonzero(~np.isnan(series.recorded))
    off = np.abs(series.simulated - series.recorded)[known]
    exact = int(np.count_nonzero(off == 0))
    if not len(known):
        return Row(series.name, 0, 0, "", True)
    limit = None if allowed is None else allowed[known]
    at = int(np.argmax(off if limit is None else off - limit))
    if limit is not None and (off <= limit).all():
        at = int(np.argmax(off))
    if exact == len(known):
        at = int(np.argmax(series.recorded[known]))  # none is further off than another: the one that says most
    sample = known[at]
    worst = Worst(
        labels[sample],
        float(series.simulated[sample]),
        float(series.recorded[sample]),
        None if limit is None else float(limit[at]),
    )
    passed = limit is None or bool((off <= limit).all())
    return Row(series.name, exact, len(known), "" if limit is None else asked, passed, worst)


def _frames(recorded: NDArray[np.int64], simulated: NDArray[np.int64], share: float) -> list[Row]:
    """Return how many secret pages have the very frame, and how many the right 2M region."""
    total, both = max(len(recorded), len(simulated)), min(len(recorded), len(simulated))
    one, other = recorded[:both], simulated[:both]
    return [
        Row.counted("secret_frames", int(np.count_nonzero(one == other)), total, None),
        Row.counted(
            "secret_frames_in_2m_region",
            int(np.count_nonzero(one >> _PAGES_PER_2M == other >> _PAGES_PER_2M)),
            total,
            share,
        ),
    ]
