"""The process that makes the system calls of a live run: small, single-threaded, killed with whoever started it.

Reads one JSON request from standard input, gets ready, says so, waits for a line, works, and writes one JSON answer to
standard output. Everything that it takes (secret files, mappings, children) belongs to processes that end with it, so
that nothing is left behind however it ends.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import time
from typing import Any

from models.host.system_calls import die_with_parent, memfd_secret
from models.host.worker_fork_bomb import trial_task
from models.host.worker_sampling import Sampler
from models.host.worker_workloads import WORKLOADS, Live

__all__ = ["main", "perform"]


def perform(request: dict[str, Any]) -> dict[str, Any]:
    """Run one workload and return samples and frames, or the error that ended it."""
    config = request["workload"]
    for name in ("MEMLOCK", "NOFILE"):
        wanted = request.get("limits", {}).get(name)
        if wanted:
            _raise_limit(getattr(resource, f"RLIMIT_{name}"), wanted)
    if request.get("cpu") is not None:
        os.sched_setaffinity(0, {request["cpu"]})
    sampler = Sampler()
    live = Live(sampler, with_frames=request["frames"])
    # Code and its memory are there before the clock starts: a file that is never touched splits nothing.
    os.close(memfd_secret())
    task = trial_task() if config["kind"] == "fork_bomb" else {}
    for _ in range(2):
        sampler.sample("boot")
    sampler.samples.clear()
    gc.collect()
    gc.disable()
    _wait()
    config["began_s"] = time.monotonic()
    error = None
    sampler.start()
    try:
        WORKLOADS[config["kind"]](live, config)
    except OSError as refusal:
        error = {"errno": refusal.errno, "what": refusal.filename or "", "text": refusal.strerror}
        sampler.sample("refused")
    sampler.sample("end")
    return {"samples": sampler.samples, "frames": live.frames, "task": task, "error": error}


def _wait() -> None:
    """Say that all is there, and wait for the word."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()


def _raise_limit(which: int, wanted: int) -> None:
    """Raise this process's own soft limit, up to its hard limit."""
    soft, hard = resource.getrlimit(which)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(which, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def main() -> None:
    """Serve one request."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    request = json.loads(sys.stdin.readline())
    die_with_parent(request["parent"])
    if request["do"] == "scatter":
        from models.host.worker_scatter import take_scattered  # noqa: PLC0415

        given = ("leftovers", "regions", "given_back", "seed", "cpus")
        answer = take_scattered(*(request[name] for name in given))
        _wait()
    elif request["do"] == "measure":
        from models.host.worker_measures import measure  # noqa: PLC0415 - only calibration needs it

        _wait()
        answer = measure(request)
    else:
        answer = perform(request)
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
