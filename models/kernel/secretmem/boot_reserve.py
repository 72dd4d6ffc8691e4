"""Policy `boot_reserve`: pools fed by a reservation made at boot, ``secretmem=SIZE`` (v1 to v4 of the patch set)."""

from __future__ import annotations

import numpy as np

from models.kernel.entities import Mapping, SecretFile
from models.kernel.pool_chunks import charge_chunk, reset_chunk
from models.kernel.secret_pages import OUT_OF_MEMORY, remove_range
from models.kernel.secretmem.area import AreaPolicy
from models.kernel.secretmem.base import PolicyOptions
from simcore.units import Bytes

__all__ = ["BootReserveOptions", "BootReservePolicy"]

_PAGE_BYTES = 4096


class BootReserveOptions(PolicyOptions):
    """Options of the reservation.

    Attributes:
        reserve: its size, a multiple of 2 MiB.
    """

    reserve: Bytes


class BootReservePolicy(AreaPolicy):
    """The whole reservation leaves the direct map at boot and never comes back; when it is empty, faults fail.

    A fault needs no flush and no change of the direct map. Nobody is charged: the reservation is the limit. The
    splits at its edges are made before the experiment begins, but counted.
    """

    Options = BootReserveOptions

    def boot(self) -> None:
        """Take the reservation, out of the direct map at once."""
        kernel = self.kernel
        self.take_area(self.options.reserve // _PAGE_BYTES)
        if self.start_pfn < 0:
            raise ValueError("boot_reserve needs a reservation: `reserve` is 0")
        if remove_range(kernel.handle, 0, kernel.node_of[0], self.start_pfn, self.area_pages) == OUT_OF_MEMORY:
            raise ValueError("there is no memory for page tables of the direct map around the reservation")
        kernel.state.charge[:] = np.zeros_like(kernel.state.charge)

    def take_chunk(self, cpu: int, mapping: Mapping) -> int:
        """Take the lowest chunk of the reservation."""
        pfn = self.next_chunk()
        if pfn >= 0:
            charge_chunk(self.kernel.handle)
        return pfn

    def give_chunk(self, cpu: int, pfn: int, file: SecretFile) -> None:
        """Give a chunk back to the reservation, unmapped as it is."""
        reset_chunk(self.kernel.handle, pfn, False)
        self.put_back(pfn)
