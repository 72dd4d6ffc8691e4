"""Workloads `guest_memfd` and `snp`: virtual machines whose memory leaves the direct map, or cuts it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from models.kernel.guest_memory import KEEP, REMOVE, SPLIT_ONLY, fault_guest, release_guest
from models.workloads.base import Positive, Wait, Workload, WorkloadConfig
from models.workloads.thread import Thread
from simcore.units import Bytes, Nanoseconds

__all__ = ["GuestMemfd", "GuestMemfdConfig", "Guests", "GuestsConfig", "Snp", "SnpConfig"]

PAGE_BYTES: Final = 4096
_HUGE_ORDER: Final = 9
_STRIDE: Final = 512
"""Folios that a guest touches in one event; other tasks see them together."""


class GuestsConfig(WorkloadConfig):
    """``guests`` virtual machines one after the other, each of ``memory``, populated whole, kept for ``hold``.

    Attributes:
        keep_last: the last guest stays.
    """

    guests: Positive = 1
    memory: Annotated[Bytes, Field(ge=PAGE_BYTES)] = 1 << 30
    hold: Nanoseconds = 0
    keep_last: bool = False


class GuestMemfdConfig(GuestsConfig):
    """guest_memfd without direct map (not merged): each folio of 4K leaves it at its fault, with a flush.

    Attributes:
        remove: False: ordinary guest_memfd, which stays in the direct map.
    """

    kind: Literal["guest_memfd"] = "guest_memfd"
    remove: bool = True


class SnpConfig(GuestsConfig):
    """SEV-SNP guests: a private page of 4K turns its entry to 4K, one of 2M splits nothing [6.9 `adjust_direct_map`].

    Attributes:
        private: size of the guest's private pages; where no 2M block is to be had, 4K pages take its place.
    """

    kind: Literal["snp"] = "snp"
    private: Literal["4K", "2M"] = "4K"


class Guests(Workload):
    """What both have in common: to populate a guest, and to give it back."""

    config: GuestsConfig
    COUNTS = ("guests", "folios_4k", "folios_2m", "out_of_memory")
    how = KEEP
    huge = False

    def run(self, thread: Thread) -> Wait:
        """One guest after the other."""
        config, kernel = self.config, self.system.kernel
        for number in range(config.guests):
            yield from self.paced(thread, number)
            guest = kernel.new_holder()
            yield from self._populate(thread, guest)
            yield from self.hold(thread, config.hold)
            if config.keep_last and number == config.guests - 1:
                return
            release_guest(kernel.handle, thread.cpu, guest)
            kernel.merging.changed(thread.cpu)
            kernel.drop_holder(guest)
            yield from thread.spend()

    def _populate(self, thread: Thread, guest: int) -> Wait:
        kernel, wanted, done = self.system.kernel, self.config.memory // PAGE_BYTES, 0
        node = kernel.node_of[thread.cpu]
        folios = 0
        while done < wanted:
            order = 0
            if self.huge and done % 512 == 0 and wanted - done >= 512:
                got = fault_guest(kernel.handle, thread.cpu, node, guest, _HUGE_ORDER, KEEP, False)
                order = _HUGE_ORDER if got else 0
            if order:
                self.count("folios_2m")
            elif fault_guest(kernel.handle, thread.cpu, node, guest, 0, self.how, done % 512 == 0):
                self.count("folios_4k")
            else:
                self.count("out_of_memory")
                break
            done += 1 << order
            folios += 1
            if folios % _STRIDE == 0:
                yield from thread.spend()
        self.count("guests")
        yield from thread.spend()


class GuestMemfd(Guests):
    """See `GuestMemfdConfig`."""

    Config = GuestMemfdConfig
    config: GuestMemfdConfig

    @property
    def how(self) -> int:  # type: ignore[override]
        """What becomes of a folio's entry."""
        return REMOVE if self.config.remove and self.system.kernel.can_set_direct_map else KEEP


class Snp(Guests):
    """See `SnpConfig`."""

    Config = SnpConfig
    config: SnpConfig
    how = SPLIT_ONLY

    @property
    def huge(self) -> bool:  # type: ignore[override]
        """Whether private pages are of 2M where there are any."""
        return self.config.private == "2M"
