"""What every secretmem policy does: where a file's pages come from, and how they leave and enter the direct map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from models.kernel.errors import FaultResult
from models.kernel.limits import UNLIMITED
from models.kernel.pages.layout import NONE

if TYPE_CHECKING:
    from models.kernel.entities import Mapping, SecretFile
    from models.kernel.kernel import Kernel

__all__ = ["AtHand", "Faults", "Policy", "PolicyOptions"]


class Faults(NamedTuple):
    """What a series of faults came to: pages got, and how the last one ended."""

    done: int
    result: FaultResult


class AtHand(NamedTuple):
    """What a file's next faults get without asking its policy: so many pages.

    They are the allocator's next (``pfn`` is NONE) or lie side by side; ``removed``: each leaves the direct map by
    itself.
    """

    pfn: int
    pages: int
    removed: bool


class PolicyOptions(BaseModel):
    """Options of a policy; a policy adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Policy(ABC):
    """A way to get secret pages. One object serves the whole machine; what belongs to a file is in ``file.pool``.

    Attributes:
        Options: pydantic class of the policy's options.
        compiled: whether `fault` may be replaced by the compiled path of `secret_pages.fault_page`.
        costly: whether a fault that gets nothing ends without an OOM kill on 6.1: it asked for a costly order, or not
            the page allocator at all.
        group_charge: what control groups are charged for: each `page` as it enters the page cache, or nothing by the
            kernel's face (`policy`): the policy charges what it takes by itself, or nobody.
    """

    Options: type[PolicyOptions] = PolicyOptions
    compiled = False
    costly = False
    group_charge: Literal["page", "policy"] = "page"

    def __init__(self, kernel: Kernel, options: Any) -> None:
        self.kernel = kernel
        self.options = options

    def boot(self) -> None:  # noqa: B027 - most policies set nothing aside
        """Set memory aside while the machine boots, before anything else has been taken.

        Raises:
            ValueError: there is no such area.
        """

    def open(self, file: SecretFile) -> None:  # noqa: B027 - most policies have nothing to prepare
        """Prepare a new file.

        Raises:
            KernelRefusal: the policy has nothing to give (the errno is the policy's).
        """

    @abstractmethod
    def fault(self, cpu: int, mapping: Mapping, count: int) -> Faults:
        """Bring the next ``count`` pages of a file into being, through a mapping of it; limits are checked already.

        For each page, ``mapping.touched`` and ``file.present`` grow by one.
        """

    def at_hand(self, file: SecretFile) -> AtHand:
        """Pages that compiled code may fault in by itself; the policy is told afterwards (`handed_out`)."""
        return AtHand(NONE, UNLIMITED if self.compiled else 0, True)

    def handed_out(self, file: SecretFile, pages: int) -> None:  # noqa: B027 - most policies keep no account of it
        """A file has got so many of the pages that were at hand."""

    @abstractmethod
    def release(self, cpu: int, file: SecretFile) -> None:
        """Give all of a file's pages back; ``file.present`` is still what it was."""

    def release_part(self, cpu: int, file: SecretFile) -> bool:
        """Give back pages up to where truncation next asks whether to give way; False: it does not before its end.

        A policy whose truncation is one step gives nothing back here.
        """
        return False

    def shrink(self, cpu: int) -> int:
        """Memory is short: give back what no file uses; returns pages given back."""
        return 0

    def results(self) -> dict[str, int]:
        """What the policy has counted by itself, for the summary."""
        return {}
