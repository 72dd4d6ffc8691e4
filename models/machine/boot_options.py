"""Options of the kernel's command line that decide how memory is mapped."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from models.machine.memory import Arch

__all__ = ["BootConfig"]


class BootConfig(BaseModel):
    """Options of the kernel's command line that decide how memory is mapped."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: False: `nogbpages`, or a CPU without 1G pages.
    gbpages: bool = True
    #: Only 4K entries.
    debug_pagealloc: bool = False
    #: arm64 CPU with BBML2_NOABORT under 6.18 or later: blocks that are split on demand; else arm64 maps 4K
    #: only.
    bbml2: bool = False
    #: arm64: `rodata=full`, the default: aliases in the direct map become read-only as well. Without it blocks
    #: stay, nothing in the direct map can be changed, and memfd_secret does not exist.
    rodata_full: bool = True

    def maps_4k_only(self, arch: Arch) -> bool:
        """Return whether the direct map may hold nothing larger than 4K."""
        return self.debug_pagealloc or (arch == "arm64" and self.rodata_full and not self.bbml2)

    def can_set_direct_map(self, arch: Arch) -> bool:
        """Return whether single pages of the direct map can be changed [arch/arm64/mm/pageattr.c]."""
        return arch == "x86_64" or self.rodata_full or self.debug_pagealloc
