"""What a live run will take, and whether this machine allows it: said before anything is touched."""

from __future__ import annotations

import errno
import os
import resource
from dataclasses import dataclass
from typing import Any

from models.direct_map_model import DirectMapConfig
from models.host.procfs import parse_meminfo
from models.host.secretmem_probe import SecretmemProbe, probe_secretmem
from models.host.sources import Sources, Unreadable
from models.kernel.limits import User
from models.workloads.churn import Churn, ChurnConfig
from models.workloads.files import ManyFilesConfig, OneFileConfig
from models.workloads.fork_bomb import ForkBombConfig
from models.workloads.spread import SpreadConfig
from simcore.errors import SimcoreError
from simcore.experiment import Experiment
from simcore.streams import Streams
from simcore.units import format_bytes

__all__ = ["MAX_TASKS", "LivePlan", "LiveRefusalError", "check", "plan"]

PAGE_BYTES = 4096
MAX_TASKS = 64
_TASK_BYTES = 600 * 1024  # stack, page tables and copied pages of one forked interpreter
_TASK_KERNEL_PAGES = 20  # of these, what the kernel takes for itself
_MEMORY_SHARE = 0.5
_CAP_IPC_LOCK = 14


class LiveRefusalError(SimcoreError):
    """A live run that this machine or kernel does not allow."""


@dataclass(frozen=True)
class LivePlan:
    """A live run before it starts.

    Attributes:
        name: of the workload.
        workload: what the worker is told.
        secret_pages: most secret pages held at once.
        tasks: most tasks at once, the first one not counted.
        locked_pages: most secret pages that one process maps.
        files: most open files of one process.
        filler_bytes: memory beside the secret pages.
    """

    name: str
    workload: dict[str, Any]
    secret_pages: int
    tasks: int
    locked_pages: int
    files: int
    filler_bytes: int

    @property
    def memory_bytes(self) -> int:
        """Most memory held at once."""
        return self.secret_pages * PAGE_BYTES + self.tasks * _TASK_BYTES + self.filler_bytes

    @property
    def kernel_pages(self) -> int:
        """About as many unmovable pages as it takes: secret pages, what tasks consist of, and such filler."""
        filler = self.filler_bytes // PAGE_BYTES if self.workload.get("filler") in {"page_tables", "pipe"} else 0
        return self.secret_pages + self.tasks * _TASK_KERNEL_PAGES + filler

    @property
    def statement(self) -> str:
        """What the user is told before the run starts."""
        secret = format_bytes(self.secret_pages * PAGE_BYTES)
        return (
            f"{self.workload['kind']} takes {self.secret_pages} secret pages ({secret}) in {max(1, self.tasks)} "
            f"task(s), {format_bytes(self.memory_bytes)} of memory in all, for as long as it runs. It may split up to "
            f"{self.secret_pages} entries of 2M of the direct map: splits last until the machine reboots."
        )

    def needs_consent(self, max_pages: int) -> str:
        """Return why `--yes` is needed, or nothing."""
        if self.secret_pages > max_pages:
            return f"{self.secret_pages} secret pages are more than --max-pages {max_pages}"
        if self.tasks > MAX_TASKS:
            return f"{self.tasks} tasks are more than {MAX_TASKS}"
        if self.filler_bytes > 64 * max_pages * PAGE_BYTES:
            return f"the filler takes {format_bytes(self.filler_bytes)}"
        return ""


def plan(experiment: Experiment) -> LivePlan:
    """Return what the experiment's workload will take.

    Raises:
        LiveRefusalError: Not one workload, or one that real system calls cannot make.
    """
    config = experiment.config
    if not isinstance(config, DirectMapConfig):
        raise LiveRefusalError(f"a live run needs the model direct_map, not {experiment.keys.model}")
    if len(config.workloads) != 1:
        names = ", ".join(config.workloads)
        raise LiveRefusalError(f"a live run takes one workload, the experiment has {len(config.workloads)}: {names}")
    if config.kernel.secretmem.policy != "page":
        raise LiveRefusalError(f"kernels have secretmem policy 'page', not {config.kernel.secretmem.policy!r}")
    ((name, part),) = config.workloads.items()
    known = part.model_dump(mode="json")
    if isinstance(part, OneFileConfig):
        return LivePlan(name, known, part.pages, 0, part.pages, 2, 0)
    if isinstance(part, ManyFilesConfig):
        total = part.files * part.pages
        return LivePlan(name, known, total, 0, total if part.keep_mapped else part.pages, part.files, 0)
    if isinstance(part, ForkBombConfig):
        if part.growth != "parent":
            raise LiveRefusalError(f"workloads.{name}.growth: a live fork bomb grows by 'parent', not {part.growth!r}")
        ordinary = part.tasks * (part.ordinary_before + part.ordinary_after) * PAGE_BYTES
        return LivePlan(
            name, known, part.tasks * part.secret_pages + part.inherit, part.tasks, part.secret_pages, 8, ordinary
        )
    if isinstance(part, SpreadConfig):
        return _spread(name, part, known)
    if isinstance(part, ChurnConfig):
        return _churn(name, part, known, experiment)
    raise LiveRefusalError(f"workloads.{name}: no live run of kind {part.kind!r}")


def _spread(name: str, part: SpreadConfig, known: dict[str, Any]) -> LivePlan:
    filler = part.secret_pages * part.filler_pages
    if part.filler not in {"page_tables", "ordinary", "pipe", "secret"}:
        raise LiveRefusalError(f"workloads.{name}.filler: no live run with filler {part.filler!r}")
    secret = part.secret_pages + (filler if part.filler == "secret" else 0)
    files = 8 + (filler // 8 if part.filler == "pipe" else 0)
    return LivePlan(name, known, secret, 0, secret, files, 0 if part.filler == "secret" else filler * PAGE_BYTES)


def _churn(name: str, part: ChurnConfig, known: dict[str, Any], experiment: Experiment) -> LivePlan:
    """Draw the operations that the simulation draws."""
    keys = experiment.keys
    random = Streams(keys.seed, keys.replication).get(f"workloads.{name}")
    places: dict[int, tuple[int, int]] = {}
    operations: list[tuple[int, int, int]] = []
    most = most_files = most_ordinary = 0
    drawn = Churn(name, None, User(name), part, random)  # type: ignore[arg-type]  # only its steps are asked for
    for place, pages, ordinary in drawn._steps(places):
        if place in places:
            held, _ = places.pop(place)
            operations.append((place, -held, 0))
        else:
            places[place] = (pages, ordinary)
            operations.append((place, pages, ordinary))
        most = max(most, sum(pages for pages, _ in places.values()))
        most_ordinary = max(most_ordinary, sum(pages for _, pages in places.values()))
        most_files = max(most_files, len(places))
    operations += [(place, -places[place][0], 0) for place in sorted(places)]
    known["operations"] = operations
    return LivePlan(name, known, most, 0, most, most_files, most_ordinary * PAGE_BYTES)


def check(wanted: LivePlan, probe: SecretmemProbe | None = None) -> dict[str, int]:
    """Return the soft limits that the worker raises for itself.

    Raises:
        LiveRefusalError: This kernel, the limits or the memory do not allow the run; the message says which.
    """
    probe = probe or probe_secretmem()
    if not probe.available:
        raise LiveRefusalError(probe.reason)
    limits = {}
    locked = wanted.secret_pages if probe.accounting == "per_user" else wanted.locked_pages
    if probe.accounting == "per_user" or not _may_lock():
        limits["MEMLOCK"] = locked * PAGE_BYTES
        _within(resource.RLIMIT_MEMLOCK, limits["MEMLOCK"], "RLIMIT_MEMLOCK", "bytes of secret memory")
    limits["NOFILE"] = wanted.files + 32
    _within(resource.RLIMIT_NOFILE, limits["NOFILE"], "RLIMIT_NOFILE", "open files")
    if os.geteuid() != 0 and wanted.tasks:
        _within(resource.RLIMIT_NPROC, wanted.tasks + 1, "RLIMIT_NPROC", "processes")
    try:
        available = parse_meminfo(Sources().text("meminfo"))["MemAvailable"] * 1024
    except (Unreadable, KeyError) as reason:
        raise LiveRefusalError(f"how much memory is available cannot be read: {reason}") from None
    if wanted.memory_bytes > _MEMORY_SHARE * available:
        raise LiveRefusalError(
            f"too little memory: {format_bytes(wanted.memory_bytes)} wanted, more than half of the "
            f"{format_bytes(available)} available"
        )
    return limits


def _within(which: int, wanted: int, name: str, what: str) -> None:
    hard = resource.getrlimit(which)[1]
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise LiveRefusalError(
            f"{name}: {wanted} {what} wanted, the hard limit is {hard} ({errno.errorcode[errno.EAGAIN]})"
        )


def _may_lock() -> bool:
    """Whether this process has CAP_IPC_LOCK in effect."""
    try:
        for line in Sources().text("self/status").splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> _CAP_IPC_LOCK & 1)
    except Unreadable:
        pass
    return os.geteuid() == 0
