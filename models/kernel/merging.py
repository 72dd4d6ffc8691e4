"""Merging as a policy of the direct map: whether, and when, entries that have been split become one again.

`never` is mainline up to 6.14. `on_request` is 6.15 and later: only callers of `set_memory_rox` (modules, BPF,
trampolines) ask for it. `on_free` is a proposal of August 2022 (Lu): a table whose entries have all become equal
merges at once. `periodic` is a what-if: a scanner goes round with a budget.

Mainline compares entries bit for bit, and an entry that was made invalid and valid again has lost its GLOBAL bit for
good, so it differs from its neighbours unless all of them went through the same. `on_free` sets entries back to what
they were before the split, GLOBAL included, so restored entries count as equal to those that were never changed; the
same holds for `periodic` unless told otherwise. Tables that boot made are left alone: they cover what is no memory,
the kernel's image or the pool of KFENCE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.kernel.direct_map import RESTORED
from models.kernel.merging_steps import merge_chain, merge_changed, scan_regions
from simcore.units import Nanoseconds

if TYPE_CHECKING:
    from models.kernel.kernel import Kernel

__all__ = [
    "MERGING", "MergeNever", "MergeOnFree", "MergeOnRequest", "MergePeriodically", "MergingConfig", "make_merging",
]  # fmt: skip


class MergingConfig(BaseModel):
    """How the direct map merges; a policy's name alone will do.

    Attributes:
        policy: `never`, `on_request`, `on_free` or `periodic`.
        interval: `periodic`: time between two rounds of the scanner.
        budget: `periodic`: 2M regions that a round looks at.
        restored_equal: `periodic`: whether entries that only lack their GLOBAL bit count as equal; false is
            mainline's comparison.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    policy: Literal["never", "on_request", "on_free", "periodic"] = "never"
    interval: Annotated[Nanoseconds, Field(gt=0)] = 1_000_000_000
    budget: Annotated[int, Field(ge=1)] = 512
    restored_equal: bool = True

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, given: Any) -> Any:
        return {"policy": given} if isinstance(given, str) else given


class MergeNever:
    """Nothing merges; base of the others.

    Attributes:
        idle: ends of operations mean nothing to it (`changed`).
    """

    idle = True

    def __init__(self, kernel: Kernel, config: MergingConfig) -> None:
        self.kernel = kernel
        self.config = config

    def asked(self, cpu: int, holder: int, kind: int) -> int:
        """A caller of `set_memory_rox` asks for large pages around the blocks of a chain; returns tables replaced."""
        return 0

    def changed(self, cpu: int) -> int:
        """An operation has ended that may have made entries equal; returns tables replaced."""
        return 0

    def scan(self, cpu: int) -> int:
        """A round of the scanner; returns tables replaced."""
        return 0


class MergeOnRequest(MergeNever):
    """Merge when a caller asks, where 512 entries are present and equal to the bit [6.15 `collapse_large_pages`].

    The kernel looks at the addresses that the caller gave; here those are the pages' aliases in the direct map.
    """

    def asked(self, cpu: int, holder: int, kind: int) -> int:
        """See `MergeNever.asked`."""
        return int(merge_chain(self.kernel.handle, cpu, holder, kind, 0))


class MergeOnFree(MergeNever):
    """Merge as soon as all 512 entries of a table agree (Lu 2022: a count of equal entries per table).

    The count is kept by comparing when an entry is changed back, which comes to the same.
    """

    idle = False

    def __init__(self, kernel: Kernel, config: MergingConfig) -> None:
        super().__init__(kernel, config)
        kernel.state.direct_map.watch_changes()

    def changed(self, cpu: int) -> int:
        """See `MergeNever.changed`."""
        return int(merge_changed(self.kernel.handle, cpu, RESTORED))


class MergePeriodically(MergeNever):
    """Merge in rounds of a scanner over all of memory, a budget of 2M regions at a time."""

    def __init__(self, kernel: Kernel, config: MergingConfig) -> None:
        super().__init__(kernel, config)
        self._next = 0
        self._end = len(kernel.state.pages.pages) >> 9

    def scan(self, cpu: int) -> int:
        """See `MergeNever.scan`."""
        first, budget = self._next, min(self.config.budget, self._end)
        self._next = (first + budget) % self._end
        ignored = RESTORED if self.config.restored_equal else 0
        return int(scan_regions(self.kernel.handle, cpu, first, budget, self._end, ignored))


MERGING: dict[str, type[MergeNever]] = {
    "never": MergeNever,
    "on_request": MergeOnRequest,
    "on_free": MergeOnFree,
    "periodic": MergePeriodically,
}


def make_merging(kernel: Kernel, config: MergingConfig) -> MergeNever:
    """The policy that a configuration names."""
    return MERGING[config.policy](kernel, config)
