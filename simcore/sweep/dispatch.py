"""Hands jobs to an executor in chunks, and sees that every job ends as a row, whatever dies on the way."""

from __future__ import annotations

import contextlib
import itertools
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, field, replace

from simcore.sweep.errors import SweepError
from simcore.sweep.executors import Pool
from simcore.sweep.job_run import KILLED, failure_row
from simcore.sweep.jobs import Chunk, Job, Report, Setting
from simcore.sweep.markers import read_marker
from simcore.sweep.store import Store
from simcore.sweep.worker import run_chunk

__all__ = ["Progress", "dispatch"]

CHUNK_S = 2.0
"""Seconds of work in a chunk: long against the cost of sending one, short against the patience of a user."""

ATTEMPTS = 2
"""Workers that may die on one run before it is recorded as killed."""

FRUITLESS_LIMIT = 5
"""Chunks lost in a row without a run being started, before workers are taken to be unable to start."""


@dataclass
class Progress:
    """How far a sweep is.

    Attributes:
        total: runs to be made in this round.
        done: runs that succeeded.
        failed: runs that ended as failure, timeout or killed.
        wall_s: seconds that the runs took, summed over workers.
        workers: how many run at a time.
    """

    total: int
    workers: int
    done: int = 0
    failed: int = 0
    wall_s: float = 0.0

    @property
    def ended(self) -> int:
        """Runs that have their row."""
        return self.done + self.failed

    @property
    def run_s(self) -> float | None:
        """Mean seconds per run; None before the first."""
        return self.wall_s / self.ended if self.ended else None

    @property
    def remaining_s(self) -> float | None:
        """Seconds that the rest will take; None before the first run has ended."""
        return None if self.run_s is None else self.run_s * (self.total - self.ended) / self.workers


def dispatch(
    jobs: Iterable[Job],
    total: int,
    pool: Pool,
    setting: Setting,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Make every job on the pool; each ends as one row in the store.

    Args:
        jobs: what to run; read lazily.
        total: how many there are.
        pool: where to run.
        setting: what the jobs have in common.
        report: called after every chunk.

    Raises:
        StoreError: the store cannot be written; what was finished is kept.
        SweepError: workers cannot start, or the executor failed in a way that is not a worker's death.
    """
    return _Dispatch(jobs, pool, setting, Progress(total, pool.workers), report).run()


@dataclass
class _Dispatch:
    jobs: Iterable[Job]
    pool: Pool
    setting: Setting
    progress: Progress
    report: Callable[[Progress], None]
    retries: deque[tuple[Job, ...]] = field(default_factory=deque)
    suspects: deque[Job] = field(default_factory=deque)
    in_flight: dict[Future[Report], Chunk] = field(default_factory=dict)
    fruitless: int = 0

    def run(self) -> Progress:
        self.store = Store(self.setting.store)
        self.executor: Executor = self.pool.executor
        self.remade: list[Executor] = []
        fresh = iter(self.jobs)
        try:
            while True:
                self._submit(fresh)
                if not self.in_flight:
                    return self.progress
                done, _ = wait(self.in_flight, return_when=FIRST_COMPLETED)
                broken = [self._settle(future, self.in_flight.pop(future)) for future in done]
                if any(broken):
                    self._replace_executor()
                self.report(self.progress)
        finally:
            for future in self.in_flight:
                future.cancel()
            if self.in_flight and self.pool.abort is not None:
                self.pool.abort()
            wait(self.in_flight if self.pool.abort is None else ())
            for executor in self.remade:
                executor.shutdown(cancel_futures=True)

    def _submit(self, fresh: Iterator[Job]) -> None:
        """Keep every worker busy with one chunk and one more waiting, but a suspect alone."""
        if self.suspects:
            if not self.in_flight:
                self._send((self.suspects.popleft(),))
            return
        while len(self.in_flight) < 2 * self.pool.workers:
            if self.retries:
                self._send(self.retries.popleft())
                continue
            jobs = tuple(itertools.islice(fresh, self._chunk_size()))
            if not jobs:
                return
            self._send(jobs)

    def _send(self, jobs: tuple[Job, ...]) -> None:
        chunk = Chunk(uuid.uuid4().hex, jobs)
        self.in_flight[self.executor.submit(run_chunk, chunk, self.setting)] = chunk

    def _chunk_size(self) -> int:
        """Return how many runs fill `CHUNK_S`; fewer near the end, so that workers end together."""
        if self.progress.run_s is None:
            return 1
        sent = sum(len(chunk.jobs) for chunk in self.in_flight.values())
        fair = (self.progress.total - self.progress.ended - sent) // (2 * self.pool.workers)
        longest, shortest = (int(seconds / max(self.progress.run_s, 1e-6)) for seconds in (CHUNK_S, CHUNK_S / 20))
        return max(1, shortest, min(longest, fair))

    def _settle(self, future: Future[Report], chunk: Chunk) -> bool:
        """Book a chunk that ended; return whether its end broke the executor."""
        error = future.exception()
        if error is None:
            self._book(future.result())
            self.fruitless = 0
        elif isinstance(error, self.pool.lost):
            self._recover(chunk, error)
        elif isinstance(error, SweepError):
            raise error
        else:
            raise SweepError(f"the executor failed with {type(error).__name__}: {error}") from error
        with contextlib.suppress(OSError):
            self.store.marker(chunk.name).unlink(missing_ok=True)
        return isinstance(error, BrokenExecutor)

    def _book(self, report: Report) -> None:
        self.progress.done += report.done
        self.progress.failed += report.failed
        self.progress.wall_s += report.wall_s

    def _recover(self, chunk: Chunk, error: BaseException) -> None:
        """Take up a chunk whose worker died: what it had written counts, the run it was in is tried again."""
        marker = read_marker(self.store.marker(chunk.name))
        self._book(marker.report)
        left = chunk.jobs[marker.written :]
        if marker.current is None:
            self.fruitless += not marker.written
            if self.fruitless > FRUITLESS_LIMIT:
                raise SweepError(f"workers die before they start a run: {error}") from error
            if left:
                self.retries.append(left)
            return
        self.fruitless = 0
        culprit = chunk.jobs[marker.current]
        others = tuple(job for job in left if job.identity != culprit.identity)
        if others:
            self.retries.append(others)
        if culprit.attempt < ATTEMPTS:
            again = replace(culprit, attempt=culprit.attempt + 1)
            if isinstance(error, BrokenExecutor):  # all its workers died at once: which run was to blame is open
                self.suspects.append(again)
            else:
                self.retries.append((again,))
            return
        self.store.append([failure_row(culprit, self.setting, "killed", KILLED)])
        self._book(Report(failed=1))

    def _replace_executor(self) -> None:
        if self.pool.reopen is None:
            raise SweepError("a worker died and broke the executor; what is finished is kept")
        for future in list(self.in_flight):
            self._settle(future, self.in_flight.pop(future))
        self.executor = self.pool.reopen()
        self.remade.append(self.executor)
