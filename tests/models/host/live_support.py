"""What tests on the real kernel share: whether it can do what they need, and what is left of a run."""

import os
from pathlib import Path
from typing import Any

import pytest

from models.host.live_worker import RUN_OF
from models.host.secretmem_probe import probe_secretmem
from simcore.experiment import Experiment

_PROBE = probe_secretmem()
needs_secretmem = pytest.mark.skipif(not _PROBE.available, reason=_PROBE.reason or "no memfd_secret")
needs_page_flags = pytest.mark.skipif(
    not os.access("/proc/kpageflags", os.R_OK), reason="/proc/kpageflags can only be read by root"
)


def experiment(**workload: Any) -> Experiment:
    return Experiment.from_mapping(
        {"model": "direct_map", "name": "live", "machine": {"memory": "4GiB"}, "workloads": {"w": workload}}
    )


def left_behind(starter: int) -> list[str]:
    """Processes of live runs that a process started, with their descriptors of secret files."""
    mark = f"{RUN_OF}={starter}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark not in (process / "environ").read_bytes().split(b"\0"):
                continue
            secret = [link for link in (process / "fd").iterdir() if "secretmem" in str(link.readlink())]
            found.append(f"{process.name}: {len(secret)} secret files")
        except OSError:
            continue  # it has ended meanwhile
    return found
