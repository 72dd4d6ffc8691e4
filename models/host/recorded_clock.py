"""The recorded clock, which is given to a simulation: how fast the machine was between two samples.

Costs are averages: right to some tenths of a per mille in churn with pools, elsewhere off by up to some per cent. Which
callbacks of grace periods run before a page is taken hangs on where a tick falls, to some 30 us after seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from models.host.recording import AllocatorRecording
from models.host.tolerance import simulated_samples

__all__ = ["drifts_of"]

_MOST_DRIFT: Final = 0.005
"""Where the model's clock is further off than by this part, something else differs than the speed."""


def drifts_of(
    recording: AllocatorRecording,
    growing: str,
    read_ns: int,
    picked: Sequence[int],
    times_ns: Sequence[int],
    before: Sequence[float],
) -> list[float]:
    """Work out by which part all has to take longer than it costs for the recorded samples to come when they did.

    Args:
        recording: What is simulated.
        growing: Label of the samples while the workload grows; after that nothing is corrected.
        read_ns: How long the recorded program reads, after the time that it notes, before the model takes a sample; the
            first is taken at its time.
        picked: Numbers of the model's samples that stand for the recorded ones.
        times_ns: When the model took each of its samples, from its start on.
        before: The same parts as are returned, with which it did; as many.

    Returns:
        The part for the time that begins with each of the model's samples.
    """
    kept = [recording.samples[index] for index in simulated_samples(recording)]
    drifts, first = [0.0] * len(times_ns), True
    for at, (sample, following) in enumerate(pairwise(kept)):
        begin, end = picked[at], picked[at + 1]
        took_ns = times_ns[end] - times_ns[begin]
        if following.label != growing or took_ns <= 0:
            continue
        wanted_ns = following.time_ns - sample.time_ns
        if first:  # what differs before is made up for
            wanted_ns, first = following.time_ns - kept[0].time_ns + read_ns - times_ns[begin], False
        drift = (1 + before[begin]) * wanted_ns / took_ns - 1
        if abs(drift) <= _MOST_DRIFT:
            drifts[begin:end] = [drift] * (end - begin)
    return drifts
