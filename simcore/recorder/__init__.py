"""What a model records while it runs: counters, levels, tallies and vectors, written on change.

All of them keep their changes in a column store (``simcore.columns``). From Python a change is two appends to
buffers, which the store takes over in chunks; the result does not depend on where chunks end.
"""

from simcore.recorder.counter import Counter
from simcore.recorder.level import Level
from simcore.recorder.recorder import Column, Recorder
from simcore.recorder.tally import Tally
from simcore.recorder.vector import Vector

__all__ = ["Column", "Counter", "Level", "Recorder", "Tally", "Vector"]
