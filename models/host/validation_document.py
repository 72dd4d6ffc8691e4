"""The page of documentation that says what was compared with recordings, and what is not modelled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.host.comparison import Comparison, Row
from models.host.validation_report import columns
from simcore.errors import OutputError

__all__ = ["document", "write_document"]

_HEAD = """\
# Validation against recorded kernels

The model is compared with recordings of Linux 6.1 kernels in `tests/recordings/`, one line for each
recording, never averaged. This page is made by

    simcore validate tests/recordings --document docs/validation.md

and a test checks that it is current. Where a cell holds two values, they are the simulated and the
recorded one at the sample that is furthest off; where it holds a fraction, so many agree exactly. Values
outside the tolerance are **bold**.

What tiling and flushes cost is compared with published measurements in [costs_validation.md](costs_validation.md), with
the distance of every figure that the model does not reproduce, and with a measured pointer chase in [tlb.md](tlb.md).
"""

_MODES = {
    "replay": """\
The allocator and the direct map start in the recorded initial state and are fed the recorded requests.
Every frame, refill, drain, steal and split is predicted and compared event by event, and the end state
list by list, in list order. Only what the state of the allocator does not contain is given: the flags of
slow-path requests, the movable pages counted in a stolen block, compaction's isolations, rotations,
captures and what it puts back, reclaim on and off, complete drains, boosts lowered, counter folds, and
high-order atomic reserves.
""",
    "simulate": """\
The recorded initial state is the start, the workload is run by the model's own tasks and footprints, and
compared at every sample. After the start nothing is given but when the samples were taken, and that only on one CPU:
while the workload grows, and until memory is first compacted or reclaimed, all costs between two samples are scaled by
one factor, so that the model takes its samples at the recorded times (in up to three runs). A workload that the
recorded program ended early, for want of memory, is as long as it was there. Where the model finds no memory to go on,
its end stands for all later samples.
""",
    "counters": """\
Where the free blocks lie, of which type they are and in which order they are listed is not in these recordings. It is
drawn 20 times from the named random stream `host.placement`; the first value is the median over the placements at the
last sample.
""",
}

_TAIL = """\
## What is not modelled, and what falls short because of it

* When compaction and a task take turns. A replay is given compaction's effect on the lists; a simulated workload
  compacts by itself, as 6.1 does: kswapd after a boosted watermark, kcompactd for it or unasked, both scanners.
  Where the stream tells who ran at which moment, every page that kcompactd takes, moves and gives back is predicted
  (a test does so for `b_page_1g_steal`, `b_page_2g_steal`, `f_page_1g_steal` and `h_page_1g_steal`, without an
  error). Those moments follow from the clock, which counts instructions, and from 6.1's rules: where kcompactd asks
  whether it gives way, who has had least of the CPU when somebody wakes, sleeps or a tick looks: tasks, kswapd,
  kcompactd, ksoftirqd and the kthread of grace periods share one run queue. With them and with costs by least squares
  over all recordings `h_page_1g_steal` comes out frame by frame: all 16 runs of kcompactd begin at the recorded page,
  and turns that a tick ends differ by at most a few pages of the some 300 that they move. That holds with the ticks up
  to 0.05 ms later and 0.14 ms earlier; 0.06 ms later one run is finished before a tick that cut it, and 68 % of the
  frames are right, and the splits to one. One long run unasked (`b_page_2g_steal`) comes out right too. In
  `c_page_1g_steal2` all but one of the first 512 frames are in their regions, 455 of them exact, when kcompactd begins
  as task 513 faults, as recorded. It and the tasks then take turns, 3 ms for it and one or two forks for them; in its
  first 30 turns, 120 ms, it takes and empties the recorded blocks in the recorded order. But a task more or less falls
  between two of them, and which blocks are stolen hangs on single pages: of the last 388 frames 10 % are in their
  regions, with all splits right. With the ticks up to 2 ms early or late 58 % to 64 % of all its frames are, and 64 to
  67 entries split, for 64. In `f_page_1g_steal` 99 % of the first 12,000 frames are in their regions; from when
  kcompactd begins, 430 ms after the start, who took which pages first decides on regions for good (the last 10,000: 18
  %). In `b_page_1g_steal` the first run begins 2.2 s after the start within two files of the recorded one, and 96 % of
  the frames are right up to file 12,000; of the last 4,000 6 % are. What a file costs and what it costs to look its
  page up cannot be told apart by the times of samples; by which turns of kcompactd a tick cut there, files are 2 to 7 %
  slower than in the model. With the ticks up to 2 ms early or late, in steps of 0.2 ms, 60 % to 80 % of its frames are
  right and 67 to 71 entries split, for 70; in `f_page_1g_steal` 31 % to 46 %, with 55 splits in all. Such a clock does
  not tell which it is. (As many pages are in use at the end, but at times some thousands that the kernel then has on
  per-CPU lists have been drained to the free lists here.) Known and not modelled: ordinary mappings side by side become
  one; a fault is not interrupted, though the kernel asks in its midst whether to give way. Splits and sizes of the
  direct map are right to 7 % in all. Which pages the boot and the program hold is not recorded: the kernel's image is
  known by its build, all else in movable pageblocks counts as memory of processes. Direct compaction, for pools, is a
  simpler model.
* What the boot left in slabs is not recorded either. Below 4 GiB it had one kernel thread less than where the
  footprints were read off (the first child of `c_page_1g_steal2` is number 23, not 24), and one less without huge pages
  (`khugepaged`); with the objects of these free, slabs of tasks, their credentials, signals and stacks are taken at the
  very task in `c_page_1g_steal2`. A kernel without huge pages has other sizes and leftovers, too, which are not known
  here (`c_page_4g_512_pb10`, `b_page_4g_2048_pb10`).
* Reclaim: nothing is reclaimed, as nothing could be in the recordings.
* Single slab pages: the timer ticks where the recorded clock says, until 1.36 s after power-on where the boot has set
  it, which ends after a wait for a tick and 0.77 ms more. Grace periods go from tick to tick by the kernel's rules. A
  kernel thread that a tick wakes waits until the task's system call ends or asks whether to give way (of which the end
  of a pool and the truncation before it alone are modelled). It is then charged for its wait, and the task is not, as
  the wake-up spares the next switch a look at the clock (`rq_clock_skip_update`); so after a wait of 2.7 ms or more it
  does not get the CPU at once the next time, and callbacks run a tick later. Where that can be seen file by file, by
  when inodes go in `b_pool_4g_4096`, the rule agrees with all 16 cases, as far as ticks can be told (to 0.03 ms). With
  it, new slabs of maple nodes and files, inodes, page-cache nodes and dentries are taken at the recorded file in churn
  with pools, but for two of 133 in three recordings (a test holds 19 of 20).
* Pools under churn (`f_pool_4g_1500`, `f_pool_4g_5000`) pass because they are given the times of the samples: with
  the model's own clock, which is right to some 0.1 ms in half a second, 40 % and 68 % of their frames are right.
  Which blocks can be chunks again depends on every single slab page, and that on where ticks fall. With the given
  times all frames of the first are right, 0.01 ms of lateness of the ticks down and 0.03 ms up. The second is sampled
  every 0.9 s, and is right by less: 91 %, and with ticks earlier by 0.01 and 0.02 ms 75 % and 76 %, later by 0.01 and
  0.02 ms 78 % and 29 %.
  The kernel is no better at repeating itself: `f_pool_4g_1500` and `f_pool_4g_5000` are the same boot and the same
  steps, but for the counters, 0.14 ms a time, read every 75 or every 250 steps; of the secret frames of the first
  1,500 steps 39 % lie in the same region (a test holds that). The number of regions, the splits and free memory stay
  close.
* Page tables of the kernel's own addresses: pools take small areas there, which come back when 32 MiB of them wait
  (`vmap_areas`); a worker sees to that a little later than the model does, and stacks count there, too. Addresses of
  stacks, and nodes of the numbers of tasks, are taken by the most tasks at a time, which is exact until the first one
  ends; that 6.1 keeps two stacks for each CPU, and gives a number again only after all others, is left out.
* Several CPUs: which CPU a task gets follows 6.1's rules, but in the recordings one thread emulates all CPUs, in
  turns that ticks of real time end. If one does so just when a child has woken its parent, the two change places.
  With every task on its recorded CPU, the splits of `c_page_4g_512_2cpu` are right to one at every sample (18 for 17
  in the end), and 96 % of its frames are in their regions (a test does so). When they change places is drawn, once in
  40 forks as in that recording's events. 40 draws give 16.9 splits in the mean (standard deviation 1.4; recorded: 17;
  without changes of places: 14), in 13 of them within one at every sample, and 37 % to 71 % of the frames in their
  regions: no draw can be expected to meet the 80 % asked. What the boot left in the slabs of CPUs other than the
  program's is not recorded either.
* What was fitted. Read off recordings that it then serves to simulate, so that these are no independent predictions
  where single slabs decide: objects that the boot left free (`boot_free` of the footprints; 17 of the cache of maple
  nodes and files by forks, 20 by churn; two inodes more below 4 GiB, with which their slabs are taken at the very
  file in `b_page_1g_steal`, `b_page_2g_steal`, `b_page_2g_fragfull` and `f_page_1g_steal`, and a kernel thread less),
  three files that a fork's program opens and closes before (by when slabs of files are taken in four forks with pools),
  where in a page the
  program's notes begin, how long after a tick the boot ends (0.75 to 0.785 ms serve the three churns with pools,
  0.795 does not) and how long its ticks last (by when slabs are taken there), what a new slab costs (two of the three),
  the nodes that a workload's start takes, that churn opens no file first (which made `f_pagewise_4g_1500` right), two
  nodes of the late device, which small area of the kernel's addresses is the first with a new page table, and how
  many lie apart, the program's mappings (with those that it has where memory was put in pieces), at which ticks
  timers ring in machines of 1 and of 2 GiB (by when kcompactd began in `f_page_1g_steal` and `b_page_2g_steal`), of
  the costs those of compaction (by turns of kcompactd in these two and its runs in `h_page_1g_steal`), of a read
  fault and its table (both recordings with page tables as filler), of descriptors, of a new task's first steps (by
  which ticks find it at work, since a grace period then ends early) and of looking for who maps a page of a task that
  forked (all three `c_page_1g_steal2`). The others
  are fitted to all recordings with one CPU together. Nothing was fitted to a frame.
* Address randomisation: the recorded kernels ran without it.
* CMA, swap, memory hotplug and more than one NUMA node: no recording proves them.
* Time: the recorded clock counts instructions of an emulator and includes the recorder's own. The simulation uses a
  cost preset made of it (`recorded_emulation`), only to have as many operations between two ticks. By the time that a
  workload has grown, where no memory is compacted, the model's own clock is off by up to 0.1 % in churn with pools,
  one_memfd and forks (0.3 % to 1.4 % in those with ordinary pages, 2.9 % in `c_page_4g_512_pb10`), 0.2 % in
  adversary_anon, 0.8 % in adversary_fill, 1.2 % in many_memfds (4.5 % in `b_page_4g_2048_pb10`) and 1.1 % in other
  churn. From one sample to the next it is off by more than 1 % for 100 of 2,262 times while workloads grow, and by up
  to 12 %. What callbacks do after a grace period takes no time; ksoftirqd and the worker that frees stacks take turns
  of 4 ms in the recordings.
* Kernels other than 6.1: rules that changed since (the tuning of the per-CPU high mark in 6.7) are parameters without
  a recording behind them.
"""


def document(comparisons: Sequence[Comparison]) -> str:
    """Return the page for ``comparisons``: a pure function of them, no date, no duration."""
    parts = [_HEAD]
    for mode in dict.fromkeys(comparison.mode for comparison in comparisons):
        chosen = sorted((one for one in comparisons if one.mode == mode), key=lambda one: one.recording)
        passed = sum(one.passed for one in chosen)
        parts.append(f"## {mode}\n\n{_MODES.get(mode, '')}")
        parts.append(f"{passed} of {len(chosen)} recordings within tolerance.\n")
        parts.append(_table(chosen))
        diverged = [one for one in chosen if one.first_divergence is not None]
        for one in diverged:
            assert one.first_divergence is not None
            first = one.first_divergence
            parts.append(
                f"First divergence of `{one.recording}`, {first.where}: recorded `{first.recorded}`, "
                f"model `{first.simulated}`.\n"
            )
    parts.append(_TAIL)
    return "\n".join(parts)


def _table(comparisons: Sequence[Comparison]) -> str:
    names = columns(comparisons)
    lines = [
        _line(["recording", *names, "asked", "result"]),
        _line(["---", *["---:"] * len(names), "---", "---"]),
    ]
    for comparison in comparisons:
        cells = {row.what: _cell(row) for row in comparison.rows}
        result = "ok" if comparison.passed else "**outside**"
        lines.append(
            _line(
                [
                    f"`{comparison.recording}`",
                    *(cells.get(name, "-") for name in names),
                    comparison.tolerance,
                    result,
                ]
            )
        )
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(row: Row) -> str:
    return row.cell if row.passed else f"**{row.cell}**"


def write_document(comparisons: Sequence[Comparison], path: Path) -> None:
    """Write the page.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document(comparisons), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
