"""Mode ``simulate``: the recorded workload, run by the model's own tasks from the recorded initial state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.host.comparison import Comparison, Options
from models.host.recorded_clock import drifts_of
from models.host.recorded_cpus import takes_turns
from models.host.recorded_fragmenting import fragmenting_of
from models.host.recorded_kernel import recorded_kernel
from models.host.recorded_notes import Observed
from models.host.recorded_program import read_ns
from models.host.recorded_run import run_recorded
from models.host.recorded_schedule import OWN, Schedule, schedule_of
from models.host.recording import AllocatorRecording
from models.host.recording_text import RecordingError
from models.host.tolerance import SAMPLED, compare_simulation, simulated_samples
from models.workloads.background_compaction import TICK_NS, next_check_ns
from models.workloads.base import WorkloadConfig
from models.workloads.churn import ChurnConfig
from models.workloads.files import ManyFilesConfig, OneFileConfig
from models.workloads.fork_bomb import ForkBombConfig
from models.workloads.spread import Filler, SpreadConfig
from models.workloads.ticks import Ticks

__all__ = ["compare", "simulate", "workload_of"]

_FILLERS: dict[str, Filler] = {"anon": "ordinary", "pt": "page_tables", "pipe": "pipe", "secret": "secret"}
#: Label of the samples that are taken while the workload grows, by type of workload.
_GROWING = {
    "one_memfd": "fault",
    "many_memfds": "memfd",
    "fork": "fork",
    "adversary_anon": "secret",
    "adversary_fill": "secret",
    "churn": "churn",
}
#: Labels of the model's workloads for those of the recordings, where they differ.
_LABELS = {"anonfreed": "fillfreed", "idle100ms": "idle", "idle200ms": "idle"}
_CHURN_SEED = 0x123456789
_REGION_SHIFTS = {"unique_2m_regions": 9, "unique_1g_regions": 18}
#: When the recorded kernel starts kcompactd, before the first sample of the program: the middle of what the two
#: recordings allow in which it worked unasked.
_KCOMPACTD_BEFORE_INIT_NS = 73_000_000
#: At which times its ticks are multiples of 8, by GiB of memory: how long the boot takes before the timer ticks is not
#: recorded. Read off when kcompactd began in those two recordings.
_TIMER_STEPS_FROM_NS = {1: 8_000_000, 2: 24_000_000}
#: How long after a tick the program begins, for which the boot has waited; until when the timer ticks as the boot has
#: set it. Read off when slabs are taken in churn with pools; when the late device comes agrees.
_TICK_TO_BOOT_NS, _BOOT_TICKS_UNTIL_NS = 770_000, 1_360_000_000
#: How often a recording is simulated at the most whose times are given, each time but the first with a clock nearer to
#: the recorded one, and by how much the parts may still change that correct it: 20 us a second.
_RUNS_AT_MOST, _SETTLED = 3, 2e-5
#: Samples of a fork at which the recorded program has not looked any frame up yet.
_BEFORE_LOOKUP = ("start", "ready", "fork", "peak")


def compare(recording: AllocatorRecording, options: Options) -> Comparison:
    """Simulate the workload of ``recording`` and return the outcome; ``options`` have the schedule and a seed."""
    schedule = schedule_of(recording) if options.schedule == "recorded" else OWN
    simulated, frames = simulate(recording, options.seed, schedule=schedule)
    outcome = compare_simulation(recording, simulated, frames)
    return replace(outcome, schedule=options.schedule, given=schedule.in_words)


def simulate(
    recording: AllocatorRecording, seed: int = 0, *, schedule: Schedule = OWN, tick_late_ns: int = 0
) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.int64]]:
    """Run the workload of a recording from its initial state.

    Args:
        recording: What is run again.
        seed: Of what is drawn: when CPUs of an emulator took turns, unless that is given.
        schedule: What is given of who ran when.
        tick_late_ns: How much later than by the recorded clock the timer ticks.

    Returns:
        Each of `SAMPLED` to its values at the recording's samples, and the frame of every secret page in fault order.
    """
    idle_ns = 1_000_000 * int(next((s.label[4:-2] for s in recording.samples if s.label.startswith("idle")), 0))
    drifts = list[float]()
    for _ in range(_RUNS_AT_MOST if schedule.timed else 1):
        kernel = recorded_kernel(recording)
        observed = run_recorded(
            kernel,
            recording.machine.cpus,
            workload_of(recording),
            idle_ns=idle_ns,
            first_cpu=int(recording.events.cpu[0]),
            check_ns=_check_ns(recording),
            in_turns=takes_turns(recording.source.emulator),
            seed=seed,
            booted_ns=_sampled_ns(recording, "boot"),
            ticks=_ticks(recording, tick_late_ns),
            clock_ns=_sampled_ns(recording, "start"),
            fragmenting=fragmenting_of(recording),
            noted=_noted(recording),
            schedule=schedule,
            drifts=drifts,
        )
        picked = _picked(recording, observed)
        if observed.cut_short or not schedule.timed:
            break
        before = drifts or [0.0] * len(observed.times_ns)
        reading_ns = read_ns(len(recording.machine.zones))
        reading_ns += kernel.copies_ns if recording.workload.type == "fork" else 0
        drifts = drifts_of(recording, reading_ns, picked, observed.times_ns, before)
        if np.allclose(before, drifts, rtol=0, atol=_SETTLED):
            break
    return _at_samples(recording, observed, picked), observed.frames


def _sampled_ns(recording: AllocatorRecording, label: str) -> int:
    """Return when a sample was taken, by the clock of the kernel.

    The sample ``boot`` is taken when the program begins, as the last thing of the boot, ``start`` when the stream does.
    """
    return next((sample.time_ns for sample in recording.samples if sample.label == label), 0)


def _ticks(recording: AllocatorRecording, late_ns: int) -> Ticks:
    """Return when the timer ticks by the kernel's clock: at multiples of its period (`tick_init_jiffy_update`).

    But until the clock has been refined it ticks as the boot has set it (`tick_setup_periodic`), where it is known when
    that has ended. Two CPUs were recorded in real time.
    """
    booted_ns = _sampled_ns(recording, "boot")
    if recording.machine.cpus > 1 or not booted_ns:
        return Ticks(TICK_NS, late_ns)
    early_ns = booted_ns - _TICK_TO_BOOT_NS
    return Ticks(TICK_NS, late_ns, early_ns + late_ns, _BOOT_TICKS_UNTIL_NS + late_ns)


def _check_ns(recording: AllocatorRecording) -> int | None:
    """Return how long after the start kcompactd first looks how fragmented memory is; None: that was switched off."""
    if int(recording.workload.parameters.get("nopro", 0)):
        return None
    boot_ns, start_ns = _sampled_ns(recording, "boot"), _sampled_ns(recording, "start")
    steps_from_ns = _TIMER_STEPS_FROM_NS.get(recording.machine.memory_bytes >> 30, 0)
    return next_check_ns(boot_ns - _KCOMPACTD_BEFORE_INIT_NS, start_ns, steps_from_ns) - start_ns


def _noted(recording: AllocatorRecording) -> int:
    """Return about how many files or tasks the program sets a note before the first: all that it was told to make."""
    noted = recording.workload.type in ("many_memfds", "fork")
    return int(recording.workload.parameters.get("n", 0)) if noted else 0


def workload_of(recording: AllocatorRecording) -> WorkloadConfig:
    """Return the model's workload for what the recorded program did, up to where it stopped."""
    kind, given = recording.workload.type, recording.workload.parameters

    def number(name: str, default: int = 0) -> int:
        return int(given.get(name, default))

    sampled = [s.secret_pages for s in recording.samples if s.label == _GROWING[kind] and s.event_index is not None]
    stopped_at = max(sampled, default=0)
    if kind == "one_memfd":
        return OneFileConfig(pages=number("n"), sample_at=tuple(sampled))
    if kind == "many_memfds":
        return ManyFilesConfig(files=stopped_at, reserve=number("n"), sample_at=tuple(sampled))
    if kind == "fork":
        secret = number("s", 1)
        return ForkBombConfig(
            tasks=stopped_at // secret, secret_pages=secret, ordinary_before=number("a0"), ordinary_after=number("a1"),
            in_step=True, in_phases=True, report=True,
            sample_at=tuple(pages // secret for pages in sampled),
        )  # fmt: skip
    if kind == "churn":
        every, steps = number("every"), number("n")
        return ChurnConfig(
            steps=steps, slots=number("slots"), max_pages=number("k"), max_ordinary=number("anon"),
            sequence=_CHURN_SEED + number("wseed"), sample_at=tuple(range(every, steps + 1, every)),
        )  # fmt: skip
    return SpreadConfig(
        secret_pages=number("n"), touched=max(recording.samples[-1].secret_pages, len(recording.secret_pfns)),
        filler=_FILLERS[str(given.get("fill", "anon"))], filler_pages=number("a0"), sample_at=tuple(sampled),
    )  # fmt: skip


def _picked(recording: AllocatorRecording, observed: Observed) -> list[int]:
    """Pick the model's samples that stand for the recorded ones.

    Raises:
        RecordingError: A workload of these parameters takes other samples.
    """
    picked, at = list[int](), 0
    for index in simulated_samples(recording):
        label = recording.samples[index].label
        wanted = label if recording.workload.type == "fork" else _LABELS.get(label, label)
        wanted = "idle" if wanted.startswith("idle") else wanted
        while at < len(observed.labels) and observed.labels[at] != wanted:
            at += 1
        if at == len(observed.labels) and observed.cut_short:
            at -= 1  # its end stands for all that it did not come to
        elif at == len(observed.labels):
            raise RecordingError(
                f"sample {label!r} cannot be: a workload of these parameters takes {', '.join(observed.labels)}",
                file=recording.path, field=f"samples[{index}].label",
            )  # fmt: skip
        picked.append(at)
        at += 1
    return picked


def _at_samples(
    recording: AllocatorRecording, observed: Observed, picked: list[int]
) -> dict[str, NDArray[np.int64]]:
    """Return what the model says at the picked samples, with what the counters said at the start."""
    fork, begin = recording.workload.type == "fork", recording.initial.direct_map.counters
    labels = [recording.samples[index].label for index in simulated_samples(recording)]
    values = {name: column[picked] + getattr(begin, name, 0) for name, column in observed.values.items()}
    for name, shift in _REGION_SHIFTS.items():
        values[name] = np.array(
            [
                0 if fork and label in _BEFORE_LOOKUP else observed.regions(at, shift)
                for at, label in zip(picked, labels, strict=True)
            ]
        )
    return {name: values[name] for name in SAMPLED}
