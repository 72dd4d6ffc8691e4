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
compared at every sample. A workload that the recorded program ended early, for want of memory, is as long as it was
there. Where the model finds no memory to go on, its end stands for all later samples.

What is done is the model's own. When it is done, to a fraction of a millisecond after seconds, is a matter of how many
instructions an emulated kernel executes, and decides who takes which page. So there are two comparisons:

* **with the recorded schedule**, the default. Given are, on one CPU, the times of the samples (costs between two of
  them are scaled by one factor, of 0.75 to 1.25, in up to three runs) and, where kcompactd worked, when kswapd and
  kcompactd had the CPU: after how many secret pages and requests of tasks, and until kcompactd had done how much. What
  they do in their turns, in which order, to which pages, is not. On several CPUs it is given which CPU each task of a
  fork had.
* **with a schedule of its own** (`--schedule own`). Nothing is given after the start.
""",
    "counters": """\
Where the free blocks lie, of which type they are and in which order they are listed is not in these recordings. It is
drawn 20 times from the named random stream `host.placement`; the first value is the median over the placements at the
last sample.
""",
}

_SCHEDULES = {
    "": "",
    "recorded": "### With the recorded schedule\n\n",
    "own": "### With a schedule of its own\n\n",
}

_TAIL = """\
## What is not modelled, and what falls short because of it

* Whose turn it is where memory is compacted. A replay is given compaction's effect on the lists; a simulated workload
  compacts by itself, as 6.1 does: kswapd after a boosted watermark, kcompactd for it or unasked, both scanners, with
  questions whether to give way between pages, while free pages are looked for, and between the parts of a truncation
  or an unmapping. With the recorded turns it takes, rotates, moves and gives back page by page what kcompactd did:
  all 78,934 such events of `b_page_1g_steal`, `b_page_2g_steal`, `f_page_1g_steal` and `h_page_1g_steal`, in order (a
  test does so), and the first 11,191 of 20,681 in `c_page_1g_steal2`. In `f_page_1g_steal` all lists of unmovable and
  of movable free pages are the recorded ones, in order, at the samples of the first 60 % of the run. Every split is
  right, at every sample of all five recordings in which kcompactd works. When the timer ticks matters little by then:
  with the ticks up to 2 ms early or late 96 % to 99 % of the frames are right in `b_page_1g_steal`, 92 % in
  `c_page_1g_steal2`, 98 % in `b_page_2g_steal` and all in `h_page_1g_steal`; in `f_page_1g_steal` 100 %, 93 % or 78
  %, by which callback runs first once. Which pages are free, and which wait on per-CPU lists, hangs on such a moment,
  too: a block of several pages that is given back soon after the lists were drained in part drains them as a whole.
  So free memory is 3 % off at a sample in `c_page_1g_steal2`, and 5 % in `f_page_1g_steal`, in about a third of such
  runs (measured once, for this page).
* By a schedule of its own the model has to know a tick's place between two instructions, after seconds. The rules are
  6.1's (where kcompactd asks whether it gives way, who has had least of the CPU when somebody wakes, sleeps or a tick
  looks: tasks, kswapd, kcompactd, ksoftirqd and the kthread of grace periods share one run queue), the costs are
  averages by least squares. `h_page_1g_steal` comes out frame by frame so, with the ticks up to 0.1 ms early; 0.05 ms
  late one run is finished before a tick that cut it, and 68 % of the frames are right. One long run unasked
  (`b_page_2g_steal`) comes out right, too. In `b_page_1g_steal`, `c_page_1g_steal2` and `f_page_1g_steal` all is as
  recorded up to the first turns; then a task more or less falls between two of them, and who takes which pages first
  decides on regions for good: 61 % to 71 %, 58 % to 63 %, and 28 % to 40 % of the frames are right, with the ticks up
  to 2 ms early or late, and 67 to 71, 64 to 67, and 55 entries split in the end, for 70, 64 and 55. Such a clock does
  not tell which it is.
* Known and not modelled there: a fault is not interrupted, though the kernel asks in its midst whether to give way,
  nor is the scan for pages to be moved (at every 32nd page), that for free ones where it passes over 32 pageblocks,
  an unmapping at the end of each page table, or an exit; and an unmapping frees the anon_vma with its vma, after the
  pages and not before them. Truncation asks after its last pages, too, and page-cache nodes wait for a grace period
  from when they are empty, not from its end on. With these two as in 6.1 new slabs of such nodes come at the recorded
  page in 71 cases of 78 in `f_page_1g_steal`, for 65, but only 70 % of its frames are right, for 93 %, and no other
  recording changes: something else is missing, which is not known, and that this recording passes is in so far luck.
  Which pages the boot and the program hold is not recorded: the kernel's image is known by its build, all else in
  movable pageblocks counts as memory of processes. Direct compaction, for pools, is a simpler model.
* What the boot left in slabs is not recorded either. Below 4 GiB it had one kernel thread less than where the
  footprints were read off (the first child of `c_page_1g_steal2` is number 23, not 24), and one less without huge
  pages (`khugepaged`); with the objects of these free, slabs of tasks, their credentials, signals and stacks are
  taken at the very task in `c_page_1g_steal2`. Dentries are two off there, and one in other forks. A kernel without
  huge pages has other sizes and leftovers, too, which are not known here (`c_page_4g_512_pb10`,
  `b_page_4g_2048_pb10`).
* Reclaim: nothing is reclaimed, as nothing could be in the recordings.
* Single slab pages: the timer ticks where the recorded clock says, until 1.36 s after power-on where the boot has set
  it, which ends after a wait for a tick and 0.77 ms more. Grace periods go from tick to tick by the kernel's rules. A
  kernel thread that a tick wakes waits until the task's system call ends or asks whether to give way (of which
  truncations, unmappings and the end of a pool alone are modelled). It is then charged for its wait, and the task is
  not, as the wake-up spares the next switch a look at the clock (`rq_clock_skip_update`); so after a wait of 2.7 ms
  or more it does not get the CPU at once the next time, and callbacks run a tick later. Where that can be seen file
  by file, by when inodes go in `b_pool_4g_4096`, the rule agrees with all 16 cases, as far as ticks can be told (to
  0.03 ms). With it, new slabs of maple nodes and files, inodes, page-cache nodes and dentries are taken at the
  recorded file in churn with pools, but for two of 133 in three recordings (a test holds 19 of 20).
* Pools under churn (`f_pool_4g_1500`, `f_pool_4g_5000`) pass because they are given the times of the samples: with
  the model's own clock, which is right to some 0.1 ms in half a second, 40 % and 68 % of their frames are right.
  Which blocks can be chunks again depends on every single slab page, and that on where ticks fall. With the given
  times all frames of the first are right, 0.01 ms of lateness of the ticks down and 0.05 ms up. The second is sampled
  every 0.9 s, and is right by less: nearly all, and with ticks 0.01 ms earlier or later 79 % and 78 %, 0.02 ms 31 %
  and 29 %. The kernel is no better at repeating itself: `f_pool_4g_1500` and `f_pool_4g_5000` are the same boot and
  the same steps, but for the counters, 0.14 ms a time, read every 75 or every 250 steps; of the secret frames of the
  first 1,500 steps 39 % lie in the same region (a test holds that). The number of regions, the splits and free memory
  stay close.
* Ordinary memory: in churn, whose program's tree of mappings is followed node by node, mappings side by side become
  one vma, and holes split it. With that all 51,049 frames of `f_page_1g_fragfull` are right. In other workloads each
  mapping has a vma of its own.
* Page tables of the kernel's own addresses: pools take small areas there, which come back when 32 MiB of them wait
  (`vmap_areas`); a worker sees to that a little later than the model does, and stacks count there, too. Addresses of
  stacks, and nodes of the numbers of tasks, are taken by the most tasks at a time, which is exact until the first one
  ends; that 6.1 keeps two stacks for each CPU, and gives a number again only after all others, is left out.
* Several CPUs: which CPU a task gets follows 6.1's rules, but in the recordings one thread emulates all CPUs, in
  turns that ticks of real time end. If one does so just when a child has woken its parent, the two change places.
  With every task on its recorded CPU, the splits of `c_page_4g_512_2cpu` are right at every sample, and nine in ten
  of its frames are in their regions. By a schedule of its own, when they change places is drawn, once in 40 forks as
  in that recording's events. 40 draws gave 16.9 splits in the mean (standard deviation 1.4; recorded: 17; without
  changes of places: 14), in 13 of them within one at every sample, and 37 % to 71 % of the frames in their regions:
  no draw can be expected to meet the 80 % asked. What the boot left in the slabs of CPUs other than the program's is
  not recorded either.
* What was fitted. Read off recordings that it then serves to simulate, so that these are no independent predictions
  where single slabs decide: objects that the boot left free (`boot_free` of the footprints; 17 of the cache of maple
  nodes and files by forks, 20 by churn; two inodes more below 4 GiB, with which their slabs are taken at the very
  file in `b_page_1g_steal`, `b_page_2g_steal`, `b_page_2g_fragfull` and `f_page_1g_steal`, and a kernel thread less),
  three files that a fork's program opens and closes before (by when slabs of files are taken in four forks with
  pools), a page-cache node that it takes (by when their slabs are taken in all forks), where in a page the program's
  notes begin, how long after a tick the boot ends (0.75 to 0.785 ms serve the three churns with pools, 0.795 does
  not) and how long its ticks last (by when slabs are taken there), what a new slab costs (two of the three), the
  nodes that a workload's start takes, that churn opens no file first (which made `f_pagewise_4g_1500` right) and that
  its books take no anon_vma of their own (by when slabs of these are taken in three churns), two nodes of the late
  device, which small area of the kernel's addresses is the first with a new page table, and how many lie apart, the
  program's mappings (with those that it has where memory was put in pieces), at which ticks timers ring in machines
  of 1 and of 2 GiB (by when kcompactd began in `f_page_1g_steal` and `b_page_2g_steal`), of the costs those of
  compaction (by turns of kcompactd in these two and its runs in `h_page_1g_steal`), of a read fault and its table
  (both recordings with page tables as filler), of descriptors, of a new task's first steps (by which ticks find it at
  work, since a grace period then ends early) and of looking for who maps a page of a task that forked (all three
  `c_page_1g_steal2`). The others are fitted to all recordings with one CPU together. Nothing was fitted to a frame.
* Address randomisation: the recorded kernels ran without it.
* CMA, swap, memory hotplug and more than one NUMA node: no recording proves them.
* Time: the recorded clock counts instructions of an emulator and includes the recorder's own. The simulation uses a
  cost preset made of it (`recorded_emulation`), only to have as many operations between two ticks. By the time that a
  workload has grown, where no memory is compacted, the model's own clock is off by up to 0.1 % in churn with pools,
  one_memfd and forks (0.3 % to 1.4 % in those with ordinary pages, 2.9 % in `c_page_4g_512_pb10`), 0.2 % in
  adversary_anon, 0.8 % in adversary_fill, 1.2 % in many_memfds (4.5 % in `b_page_4g_2048_pb10`) and 0.4 % in other
  churn. From one sample to the next it is off by more than 1 % for 108 of 2,307 times while workloads grow, and by up
  to 12 %. What callbacks do after a grace period takes no time; ksoftirqd and the worker that frees stacks take turns
  of 4 ms in the recordings.
* Kernels other than 6.1: rules that changed since (the tuning of the per-CPU high mark in 6.7) are parameters without
  a recording behind them.
"""


def document(comparisons: Sequence[Comparison]) -> str:
    """Return the page for ``comparisons``: a pure function of them, no date, no duration.

    Where a recording is simulated twice, with a schedule that is given and without, the page has a table for each.
    """
    parts = [_HEAD]
    for mode in dict.fromkeys(comparison.mode for comparison in comparisons):
        parts.append(f"## {mode}\n\n{_MODES.get(mode, '')}")
        chosen = [one for one in comparisons if one.mode == mode]
        for title, part in _parts(chosen):
            parts.append(f"{title}{sum(one.passed for one in part)} of {len(part)} recordings within tolerance.\n")
            parts.append(_table(part))
            parts += [_divergence(one) for one in part if one.first_divergence is not None]
    parts.append(_TAIL)
    return "\n".join(parts)


def _parts(comparisons: Sequence[Comparison]) -> list[tuple[str, list[Comparison]]]:
    """Comparisons of one mode by whose schedule was simulated, each time with a heading, sorted by recording."""
    return [
        (title, part)
        for schedule, title in _SCHEDULES.items()
        if (part := sorted((one for one in comparisons if one.schedule == schedule), key=lambda one: one.recording))
    ]


def _divergence(comparison: Comparison) -> str:
    first = comparison.first_divergence
    assert first is not None
    return (
        f"First divergence of `{comparison.recording}`, {first.where}: recorded `{first.recorded}`, "
        f"model `{first.simulated}`.\n"
    )


def _table(comparisons: Sequence[Comparison]) -> str:
    names = columns(comparisons)
    given = any(comparison.given for comparison in comparisons)
    heads, rules = (["given"], ["---"]) if given else ([], [])
    lines = [
        _line(["recording", *names, *heads, "asked", "result"]),
        _line(["---", *["---:"] * len(names), *rules, "---", "---"]),
    ]
    for comparison in comparisons:
        cells = {row.what: _cell(row) for row in comparison.rows}
        result = "ok" if comparison.passed else "**outside**"
        lines.append(
            _line(
                [
                    f"`{comparison.recording}`",
                    *(cells.get(name, "-") for name in names),
                    *([", ".join(comparison.given) or "-"] if given else []),
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
