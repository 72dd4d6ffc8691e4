"""The kernel's part of an experiment: version, secretmem policy, limits, footprints, state after boot."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from models.kernel.boot_profile import boot_profile_names
from models.kernel.flush_config import FlushConfig
from models.kernel.footprint_presets import footprint_presets
from models.kernel.limits import Accounting
from models.kernel.merging import MergingConfig
from models.kernel.secretmem.registry import find_policy
from simcore.errors import nearest_name
from simcore.units import Bytes, Nanoseconds

__all__ = ["CompactionConfig", "GroupConfig", "KernelConfig", "SecretmemConfig", "StateConfig", "UserConfig"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def known(kind: str, name: str, names: list[str]) -> str:
    """Return a preset's name.

    Raises:
        ValueError: there is none; the message lists what there is.
    """
    if name not in names:
        near = nearest_name(name, names)
        raise ValueError(
            f"no {kind} {name!r}; there are {', '.join(names)}"
            + (f"; did you mean {near!r}?" if near else "")
        )
    return name


class SecretmemConfig(_Part):
    """Where secret pages come from.

    Attributes:
        policy: a policy's name, or ``module:Class`` of your own.
        accounting: `per_mm` or `per_user`.
        global_limit: cap on all secret memory of the machine, checked in the system call; None: none.
        global_limit_at_fault: False: the cap is checked nowhere but in the system call.
        enabled: False: as before 6.5 without ``secretmem.enable=1``; memfd_secret is ENOSYS.
        options: what the policy takes beside, see its class.
        on_fault_oom: what a fault does that finds no memory, where the request is of a costly order: `kill` (kernels
            of 2020) or `retry` for ever (6.1).
    """

    policy: str = "page"
    accounting: Accounting = "per_mm"
    global_limit: Bytes | None = None
    global_limit_at_fault: bool = True
    enabled: bool = True
    options: dict[str, Any] = {}
    on_fault_oom: Literal["kill", "retry"] = "retry"

    @model_validator(mode="after")
    def _policy_exists(self) -> SecretmemConfig:
        allowed = find_policy(self.policy).Options
        try:
            allowed.model_validate(self.options)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            names = ", ".join(allowed.model_fields) or "none"
            raise ValueError(f"option {key!r} of policy {self.policy}: {first['msg']}; its options: {names}") from None
        return self


class StateConfig(_Part):
    """How the machine's memory looks when the experiment begins.

    Attributes:
        profile: `pristine` (every page free, in order), `fresh` (what a boot leaves), `fragmented` (long uptime).
        age: for `fragmented`: how much memory has been churned, as a multiple of the machine's memory.
        used: for `fragmented`: part of memory that is in use in the end.
    """

    profile: Literal["pristine", "fresh", "fragmented"] = "fresh"
    age: Annotated[float, Field(ge=0, le=100)] = 2.0
    used: Annotated[float, Field(ge=0, lt=1)] = 0.5


class CompactionConfig(_Part):
    """How blocks of 2 MiB are made out of scattered free memory.

    Attributes:
        direct: whether a request for such a block compacts when there is none.
        interval: time between two rounds of background compaction; None: there is none.
        budget: pageblocks that a round looks at.
        sample: time between two values of the series ``memory.order9_available``; None: only its final value.
    """

    direct: bool = True
    interval: Annotated[Nanoseconds, Field(gt=0)] | None = None
    budget: Annotated[int, Field(ge=1)] = 32
    sample: Annotated[Nanoseconds, Field(gt=0)] | None = None


class KernelConfig(_Part):
    """The kernel.

    Attributes:
        secretmem: policy and limits of secret memory.
        footprints: preset of what operations take besides.
        boot: boot profile: what the boot keeps, watermarks' options.
        version: whose rules hold where they changed, in quotes: from `6.7` on per-CPU lists tune their high mark and
            refills. None: the boot profile's, 6.1. A snapshot brings its own.
        state: memory at the start.
        merging: whether and when entries of the direct map become one again.
        compaction: how blocks of 2 MiB are made.
        flush: when pages that have left the direct map leave the TLBs.
        report: what the series ``direct_map.*_bytes`` begin with: what lies in the page tables, or what /proc/meminfo
            says on Linux 6.1 (`as_linux_6_1`), which counts some entries twice.
        kernel_memory: whether control groups are charged for page tables and for what a task takes (False:
            ``cgroup.memory=nokmem``); slab objects and pipe buffers never are here.
    """

    secretmem: SecretmemConfig = SecretmemConfig()
    footprints: str = "minimal_6_1"
    boot: str = "minimal"
    version: Literal["6.1", "6.7"] | None = None
    state: StateConfig = StateConfig()
    merging: MergingConfig = MergingConfig()
    compaction: CompactionConfig = CompactionConfig()
    flush: FlushConfig = FlushConfig()
    report: Literal["page_tables", "as_linux_6_1"] = "page_tables"
    kernel_memory: bool = True

    @field_validator("footprints")
    @classmethod
    def _footprints_exist(cls, name: str) -> str:
        return known("footprints", name, list(footprint_presets()))

    @field_validator("boot")
    @classmethod
    def _boot_exists(cls, name: str) -> str:
        return known("boot profile", name, boot_profile_names())


class GroupConfig(_Part):
    """A memory control group: its limit, and the group around it."""

    limit: Bytes
    parent: str | None = None


class UserConfig(_Part):
    """A user's limits and capabilities.

    Attributes:
        memlock: RLIMIT_MEMLOCK; 8 MiB is the default from 5.16 on.
        processes: RLIMIT_NPROC; None: no limit.
        files: RLIMIT_NOFILE; the default is the usual hard limit, up to which a process may raise its own.
        capabilities: `ipc_lock` lifts RLIMIT_MEMLOCK under `per_mm`.
        group: memory control group of the user's processes.
    """

    memlock: Bytes = 8 << 20
    processes: Annotated[int, Field(ge=1)] | None = None
    files: Annotated[int, Field(ge=1)] = 524288
    capabilities: tuple[Literal["ipc_lock"], ...] = ()
    group: str | None = None
