"""The live spread: kernel pages between one secret page and the next."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable
from typing import Any

from models.host.system_calls import MAP_NORESERVE
from models.host.worker_live import PAGE, Live, pace, sampling_steps

__all__ = ["spread"]

_TABLE_REACH = 512 * PAGE


def spread(live: Live, config: dict[str, Any]) -> None:
    """See `models.workloads.spread.SpreadConfig`."""
    sampler, pages, each = live.sampler, config["secret_pages"], config["filler_pages"]
    file, mapping = live.secret_file(pages)
    fill, free = _filler(live, config["filler"], pages * each)
    steps = sampling_steps(pages)
    for number in range(pages):
        pace(config, number)
        if each:
            fill(number * each, each)
        live.touch(mapping, 1, number)
        if number + 1 in steps and number + 1 < pages:
            sampler.sample("fault")
    live.note_frames(mapping, pages)
    sampler.sample("peak")
    free()
    sampler.sample("fillfreed")
    if config["hold"]:
        time.sleep(config["hold"] / 1e9)
    mapping.close()
    os.close(file)
    sampler.secret_pages -= pages
    sampler.sample("secretfreed")


def _filler(live: Live, kind: str, total: int) -> tuple[Callable[[int, int], None], Callable[[], None]]:
    """Return what fills (first page, count) and what frees all of it."""
    if not total:
        return (lambda first, count: None), (lambda: None)
    if kind == "secret":
        file, secret = live.secret_file(total)

        def close() -> None:
            secret.close()
            os.close(file)
            live.sampler.secret_pages -= total

        return (lambda first, count: live.touch(secret, count, first)), close
    if kind == "pipe":
        return _pipes()
    reach = _TABLE_REACH if kind == "page_tables" else PAGE
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    access = mmap.PROT_READ if kind == "page_tables" else mmap.PROT_READ | mmap.PROT_WRITE
    memory = mmap.mmap(-1, (total + 1) * reach, flags, access)
    memory.madvise(mmap.MADV_NOHUGEPAGE)

    def fill(first: int, count: int) -> None:
        for offset in range(first * reach, (first + count) * reach, reach):
            if reach == PAGE:
                memory[offset] = 1
            else:
                _ = memory[offset]  # maps the zero page: takes a page table and nothing else

    return fill, memory.close


def _pipes() -> tuple[Callable[[int, int], None], Callable[[], None]]:
    pipes: list[tuple[int, int]] = []
    room = [0]

    def fill(_first: int, count: int) -> None:
        for _ in range(count):
            if not room[0]:
                pipes.append(os.pipe())
                room[0] = 16  # buffers of a pipe by default, a page each
            os.write(pipes[-1][1], bytes(PAGE))
            room[0] -= 1

    def close() -> None:
        for pair in pipes:
            for end in pair:
                os.close(end)

    return fill, close
