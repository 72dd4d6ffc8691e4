"""The live fork bomb: tasks with a secret page each."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Sequence
from typing import Any

from models.host.system_calls import die_with_parent
from models.host.worker_live import PAGE, Live, ordinary_memory, pace, read_frames, sampling_steps

__all__ = ["fork_bomb", "trial_task"]


def fork_bomb(live: Live, config: dict[str, Any]) -> None:
    """See `models.workloads.fork_bomb.ForkBombConfig`; children wait on a pipe, so that closing it ends them all.

    As in the model the first task has a CPU for itself while it forks, and children have the others in turn: left to
    the scheduler, from which CPU's lists a child takes its pages would be chance.
    """
    sampler, parent = live.sampler, os.getpid()
    first, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {first})
    inherited = live.secret_file(1) if config["inherit"] else None
    if inherited is not None:
        live.touch(inherited[1], 1)
        live.note_frames(inherited[1], 1)
    ready_read, ready_write = os.pipe()
    go_read, go_write = os.pipe()
    steps, children = sampling_steps(config["tasks"]), []
    waiting = 0
    record = struct.calcsize("<iQ")
    try:
        for number in range(config["tasks"]):
            pace(config, number)
            child = os.fork()
            if child == 0:
                if others:
                    os.sched_setaffinity(0, {others[number % len(others)]})
                _bomb_child(live, config, parent, ready_write, go_read, (ready_read, go_write))
            children.append(child)
            sampler.tasks += 1
            waiting += 1
            while waiting and (config["in_step"] or waiting >= _AHEAD or number + 1 == config["tasks"]):
                waiting -= 1
                _take_report(live, config, os.read(ready_read, record))
            if number + 1 in steps and number + 1 < config["tasks"]:
                sampler.sample("fork")
        sampler.sample("peak")
    finally:
        os.close(go_write)
        for child in children:
            os.waitpid(child, 0)
            sampler.tasks -= 1
        for end in (ready_read, ready_write, go_read):
            os.close(end)
    sampler.secret_pages = 0
    if inherited is not None:
        inherited[1].close()
        os.close(inherited[0])
    sampler.sample("allexit")


def trial_task() -> dict[str, int]:
    """Fork one task that does nothing; return how many pages its page tables take, and how many mappings it has."""
    end, begin = os.pipe()
    child = os.fork()
    if child == 0:
        with open("/proc/self/status", encoding="ascii") as status, open("/proc/self/maps", "rb") as maps:
            tables = next((int(line.split()[1]) for line in status if line.startswith("VmPTE:")), 0)
            os.write(begin, struct.pack("<2i", tables * 1024 // PAGE, sum(1 for _ in maps)))
        os._exit(0)
    os.close(begin)
    tables, mappings = struct.unpack("<2i", os.read(end, struct.calcsize("<2i")))
    os.close(end)
    os.waitpid(child, 0)
    return {"page_tables": tables, "mappings": mappings}


_AHEAD = 8
"""Children that may be on their way at once: enough to keep several CPUs busy."""


def _take_report(live: Live, config: dict[str, Any], report: bytes) -> None:
    number, frame = struct.unpack("<iQ", report)
    if number:
        raise OSError(number, os.strerror(number), "a task of the fork bomb")
    live.sampler.secret_pages += config["secret_pages"]
    if frame:
        live.frames.append(frame)


def _bomb_child(live: Live, config: dict[str, Any], parent: int, ready: int, go: int, not_mine: Sequence[int]) -> None:
    """One task: its pages, a report, and the wait; never returns."""
    status = 1
    try:
        die_with_parent(parent)
        for end in not_mine:
            os.close(end)
        ordinary = [ordinary_memory(config["ordinary_before"])]
        frame = 0
        if config["secret_pages"]:
            _, mapping = live.secret_file(config["secret_pages"])
            live.touch(mapping, config["secret_pages"])
            if live.with_frames:
                pagemap = os.open("/proc/self/pagemap", os.O_RDONLY)
                frame = (read_frames(pagemap, mapping, 1) or [0])[0]
                os.close(pagemap)
        ordinary.append(ordinary_memory(config["ordinary_after"]))
        os.write(ready, struct.pack("<iQ", 0, frame))
        if config["hold"] is None:
            os.read(go, 1)  # until the first task closes its end
        else:
            time.sleep(config["hold"] / 1e9)
        status = 0
    except OSError as error:
        os.write(ready, struct.pack("<iQ", error.errno or 1, 0))
    finally:
        os._exit(status)
