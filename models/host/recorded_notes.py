"""What is read at the samples of a simulated recording: counters, and the frames of secret pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.kernel.chains import list_blocks
from models.kernel.entities import SecretFile
from models.kernel.kernel import Kernel
from models.kernel.pool_chunks import CHUNK_PAGES
from models.kernel.records import FILE_PAGES
from models.workloads.system import System

__all__ = ["Notes", "Observed"]

_KB_PER_PAGE = 4


@dataclass(frozen=True)
class Observed:
    """What a run showed.

    Attributes:
        labels: What had just been done at each sample.
        values: ``level2_splits``, ``level3_splits``, sizes of the direct map (``direct_map_4k_kb`` ...) and ``free_kb``
            by sample, int64; sizes and splits are changes since the start.
        times_ns: When each sample was taken, from the start of the run on.
        faults: int64, secret pages touched up to each sample.
        frames: int64, frame of every secret page, in the order of their faults.
        cut_short: whether the program did not do all that the recorded one did: memory ran out.
    """

    labels: tuple[str, ...]
    values: dict[str, NDArray[np.int64]]
    times_ns: tuple[int, ...]
    faults: NDArray[np.int64]
    frames: NDArray[np.int64]
    cut_short: bool = False

    def regions(self, at: int, shift: int) -> int:
        """Return how many distinct regions of ``1 << shift`` pages held a secret page up to a sample."""
        return len(np.unique(self.frames[: self.faults[at]] >> shift))


class Notes:
    """Reads the kernel's counters, and looks the frames of secret files up.

    Attributes:
        cut_short: see `Observed`.
    """

    def __init__(self, system: System, drifts: Sequence[float]) -> None:
        """Begin with nothing read.

        Args:
            system: whose kernel is looked at.
            drifts: by which part all takes longer than it costs, from each sample on; after them: nothing.
        """
        self._system, self._kernel, self._drifts = system, system.kernel, drifts
        self._labels: list[str] = []
        self._times_ns: list[int] = []
        self._rows: list[tuple[int, ...]] = []
        self._frames: list[NDArray[np.int64]] = []
        self._begin = self._tiling()
        self.cut_short = False

    def _tiling(self) -> tuple[int, ...]:
        counters = self._kernel.state.direct_map.counters[0]
        names = ("level2_splits", "level3_splits", "pages_4k", "pages_2m", "pages_1g")
        return tuple(int(counters[name]) for name in names)

    def read(self, label: str) -> None:
        """Take a sample; from it on all takes longer than it costs by the part that is given for it."""
        splits2, splits3, *pages = (now - then for now, then in zip(self._tiling(), self._begin, strict=True))
        free = int(self._kernel.store.zones["free_pages"].sum())
        faults = int(self._kernel.state.counts[0]["secret_faults"])
        at = len(self._labels)
        self._system.clocks.clock["drift"] = self._drifts[at] if at < len(self._drifts) else 0.0
        self._labels.append(label)
        self._times_ns.append(self._system.env.now)
        self._rows.append((splits2, splits3, *(_KB_PER_PAGE * size for size in (*pages, free)), faults))

    def look_up(self, file: SecretFile) -> None:
        """Look the frames of a file up."""
        self._frames.append(_frames(self._kernel, file))

    def observed(self) -> Observed:
        """Return all that has been read."""
        columns = np.array(self._rows, np.int64).T
        names = (
            "level2_splits", "level3_splits", "direct_map_4k_kb", "direct_map_2m_kb", "direct_map_1g_kb", "free_kb",
        )  # fmt: skip
        frames = np.concatenate([np.zeros(0, np.int64), *self._frames])
        values = dict(zip(names, columns, strict=False))
        return Observed(
            tuple(self._labels), values, tuple(self._times_ns), columns[-1], frames, self.cut_short
        )


def _frames(kernel: Kernel, file: SecretFile) -> NDArray[np.int64]:
    """Return the frames of a file's pages in the order of their faults."""
    if file.pool is not None:
        return _pool_frames(file.pool.chunks, file.present)
    frames = np.empty(file.present, np.int64)
    list_blocks(kernel.handle, file.holder, FILE_PAGES, frames)
    return frames


def _pool_frames(chunks: Sequence[tuple[int, int, int]], present: int) -> NDArray[np.int64]:
    frames = np.empty(present, np.int64)
    for at, (pfn, _, _) in enumerate(chunks):
        part = frames[at * CHUNK_PAGES : (at + 1) * CHUNK_PAGES]
        part[:] = np.arange(pfn, pfn + len(part))
    return frames
