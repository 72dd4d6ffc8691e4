"""What a kernel build does to memory before the first task runs: presets of image, reservations, options."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.machine.preset_files import choose, read_shipped

__all__ = ["BootProfile", "KernelImage", "boot_profile_names", "load_boot_profile"]

_PRESETS = Path(__file__).parent / "presets" / "boot_profiles.yaml"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KernelImage(_Part):
    """Where the kernel lies, as page frames, ends exclusive; text and rodata are read-only."""

    text_start_pfn: int = Field(gt=0)
    text_end_pfn: int
    rodata_start_pfn: int
    rodata_end_pfn: int
    #: Single pages made read-only later, such as the interrupt descriptor table.
    read_only_pfns: tuple[int, ...] = ()
    #: What is kept behind rodata: data, and the zeroed sections. Between the parts lies what the boot gives back.
    data_pfns: tuple[tuple[int, int], ...] = ()

    @property
    def kept_pfns(self) -> tuple[tuple[int, int], ...]:
        """Ranges of pages that the image keeps, ends exclusive."""
        text, rodata = (self.text_start_pfn, self.text_end_pfn), (self.rodata_start_pfn, self.rodata_end_pfn)
        return (text, rodata, *self.data_pfns)

    @model_validator(mode="after")
    def _ordered(self) -> KernelImage:
        order = [self.text_start_pfn, self.text_end_pfn, self.rodata_start_pfn, self.rodata_end_pfn]
        if order != sorted(order):
            raise ValueError(f"a kernel image is text, then rodata, got page frames {order}")
        return self


class BootProfile(_Part):
    """One kernel build at boot. Page counts are 4K pages taken for good, unless a field says otherwise."""

    source: str
    confidence: Literal["derived", "fitted", "what-if"]
    kernel_version: tuple[int, int] = (6, 1)
    #: ZONE_DMA (the first 16 MiB) is configured.
    zone_dma: bool = False
    #: Transparent huge pages are on: khugepaged raises min_free_kbytes, and order 9 has per-CPU lists.
    transparent_hugepage: bool = True
    pageblock_order: int = Field(default=9, ge=0, le=10)
    image: KernelImage | None = None
    #: Kept of image, brk and firmware tables in the zone of the image.
    image_pages: int = Field(default=0, ge=0)
    #: Sections and gaps of the image, and the initrd, given back only after the watermarks were computed:
    #: they are managed pages, but the watermarks and `lowmem_reserve` do not know them.
    late_freed_pages: int = Field(default=0, ge=0)
    #: The first MiB is reserved whole [6.1 arch/x86/realmode/init.c].
    first_mib: bool = True
    #: `struct page` by memory section.
    struct_page_bytes: int = Field(default=64, ge=0)
    section_bytes: int = 128 << 20
    #: Dentry and inode hash tables, from memblock: one 8-byte head per two and per four pages.
    early_hashes: bool = True
    #: Bounce buffer below 4 GiB and its bookkeeping, on machines with RAM above 4 GiB.
    swiotlb_pages: int = Field(default=0, ge=0)
    swiotlb_slot_bytes: int = Field(default=24, ge=0)
    per_cpu_pages: int = Field(default=0, ge=0)
    #: Everything else taken at the top of memory.
    top_pages: int = Field(default=0, ge=0)
    #: Pages of the early page-table buffer in the image, used before memory is mapped.
    early_table_pages: int = Field(default=0, ge=0)
    #: 2M regions split after the image was protected (modules, BPF), by where their pages come from.
    late_splits: tuple[Literal["zone_start", "top_reserved"], ...] = ()
    #: 2M splits counted for other mappings than the direct map, besides those of the image's own.
    other_mapping_splits: int = Field(default=0, ge=0)
    kfence: bool = False


def boot_profile_names() -> list[str]:
    """Return the names of the presets."""
    return sorted(read_shipped(_PRESETS))


def load_boot_profile(name: str) -> BootProfile:
    """Return the preset ``name``.

    Raises:
        ConfigError: There is none of that name.
    """
    return BootProfile.model_validate(choose(name, read_shipped(_PRESETS), "boot profile"))
