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

_MOST_DRIFT: Final = 0.25
"""Where the model's clock is further off than by this part, something else differs than the speed."""


def drifts_of(
    recording: AllocatorRecording,
    read_ns: int,
    picked: Sequence[int],
    times_ns: Sequence[int],
    before: Sequence[float],
) -> list[float]:
    """Work out by which part all has to take longer than it costs for the recorded samples to come when they did.

    Args:
        recording: What is simulated.
        read_ns: How long the recorded program reads at a sample, after the time that it notes, before the model takes
            one; the first of all is taken at its time.
        picked: Numbers of the model's samples that stand for the recorded ones.
        times_ns: When the model took each of its samples, from its start on.
        before: The same parts as are returned, with which it did; as many.

    Returns:
        The part for the time that begins with each of the model's samples.
    """
    kept = [recording.samples[index] for index in simulated_samples(recording)]
    drifts, late_ns = [0.0] * len(times_ns), -read_ns
    for at, (sample, following) in enumerate(pairwise(kept)):
        begin, end = picked[at], picked[at + 1]
        took_ns = times_ns[end] - times_ns[begin]
        # What differed before is made up for.
        wanted_ns = following.time_ns - sample.time_ns - late_ns
        late_ns = took_ns - wanted_ns
        if took_ns > 0:
            drift = (1 + before[begin]) * wanted_ns / took_ns - 1
            if abs(drift) <= _MOST_DRIFT:
                drifts[begin:end], late_ns = [drift] * (end - begin), 0
    return drifts
