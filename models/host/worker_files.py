"""Live workloads of one process: one secret file, many, and files that come and go."""

from __future__ import annotations

import os
from typing import Any

from models.host.worker_live import Live, hold, ordinary_memory, pace, sampling_steps

__all__ = ["churn", "many_files", "one_file"]


def one_file(live: Live, config: dict[str, Any]) -> None:
    """See `models.workloads.files.OneFileConfig`."""
    sampler, pages = live.sampler, config["pages"]
    steps = sampling_steps(pages)
    for round_ in range(config["repeat"]):
        pace(config, round_)
        file, mapping = live.secret_file(pages)
        done = 0
        for step in sorted(steps):
            live.touch(mapping, step - done, done)
            done = step
            if done < pages:
                sampler.sample("fault")
        live.note_frames(mapping, pages)
        hold(live, config["hold"])
        mapping.close()
        sampler.sample("munmap")
        os.close(file)
        sampler.secret_pages -= pages
        sampler.sample("close")


def many_files(live: Live, config: dict[str, Any]) -> None:
    """See `models.workloads.files.ManyFilesConfig`."""
    sampler, pages = live.sampler, config["pages"]
    steps, opened = sampling_steps(config["files"]), []
    for number in range(config["files"]):
        pace(config, number)
        file, mapping = live.secret_file(pages)
        live.touch(mapping, pages)
        live.note_frames(mapping, pages)
        if not config["keep_mapped"]:
            mapping.close()
        opened.append((file, mapping))
        if number + 1 in steps and number + 1 < config["files"]:
            sampler.sample("file")
    hold(live, config["hold"])
    for _, mapping in opened:
        mapping.close()
    sampler.sample("munmap")
    for file, _ in opened:
        os.close(file)
        sampler.secret_pages -= pages
    sampler.sample("close")


def churn(live: Live, config: dict[str, Any]) -> None:
    """See `models.workloads.churn.ChurnConfig`; ``operations`` are drawn by whoever starts the run."""
    sampler, places = live.sampler, {}
    operations = config["operations"]
    steps = sampling_steps(len(operations))
    for number, (slot, pages, ordinary) in enumerate(operations):
        pace(config, number)
        if pages > 0:
            file, mapping = live.secret_file(pages)
            live.touch(mapping, pages)
            live.note_frames(mapping, pages)
            places[slot] = (file, mapping, pages, ordinary_memory(ordinary))
        else:
            file, mapping, held, beside = places.pop(slot)
            mapping.close()
            if beside is not None:
                beside.close()
            os.close(file)
            sampler.secret_pages -= held
        if number + 1 in steps:
            sampler.sample("step")
