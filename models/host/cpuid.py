"""Which TLB preset fits this CPU, and what the CPU itself says of its TLB (CPUID), with the traps of that.

The CPU model decides; CPUID's numbers are noted beside it, since they miss what a preset needs (latencies, walkers) and
are wrong on some parts: AMD's leaf 0x80000006 has 12 bits for the entries of the L2 TLB, and Zen 5's 4,096 overflow
them to 0 (`/proc/cpuinfo` then adds up a wrong "TLB size").
"""

from __future__ import annotations

import ctypes
import mmap
import platform
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["TlbReport", "cpuid", "decode_amd_tlb", "tlb_preset", "tlb_report"]

_CODE = bytes.fromhex("53 4989d0 89f8 89f1 0fa2 418900 41895804 41894808 4189500c 5b c3")
"""push rbx; r8 = out; eax = leaf; ecx = subleaf; cpuid; store eax, ebx, ecx, edx; pop rbx; ret."""
_AMD_L2_FIELD_MAX = 0xFFF
_ZEN5_L2_ENTRIES = 4096


@dataclass(frozen=True)
class TlbReport:
    """The preset of this CPU (None: none fits), what CPUID says, and what to know about it."""

    preset: str | None
    source: str
    gap: str


def cpuid(leaf: int, subleaf: int = 0) -> tuple[int, int, int, int] | None:
    """Return eax, ebx, ecx, edx of the CPUID instruction on this CPU; None where it cannot be executed."""
    if platform.machine() not in {"x86_64", "AMD64"}:
        return None
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except (OSError, PermissionError):
        return None  # memory that is writable and executable may be forbidden
    page.write(_CODE)
    anchor = ctypes.c_char.from_buffer(page)
    call = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p)(ctypes.addressof(anchor))
    out = (ctypes.c_uint32 * 4)()
    call(leaf, subleaf, ctypes.addressof(out))
    del anchor
    page.close()
    eax, ebx, ecx, edx = out
    return eax, ebx, ecx, edx


def decode_amd_tlb(ebx: int, family: int) -> tuple[int, str]:
    """Return the entries of the L2 data TLB for 4K pages, and what is wrong with them.

    Args:
        ebx: EBX of leaf 0x80000006.
        family: CPU family; 26 is Zen 5.
    """
    entries = ebx >> 16 & _AMD_L2_FIELD_MAX
    if entries < 1024 and family >= 26:
        return _ZEN5_L2_ENTRIES, (
            f"CPUID 0x80000006 says {entries} entries in the L2 TLB: its 12 bits overflow at 4,096"
        )
    return entries, ""


def tlb_preset(cpu: Mapping[str, str]) -> str | None:
    """Return the TLB preset for a processor of `/proc/cpuinfo`; None when there is none for it."""
    if "CPU implementer" in cpu:
        return _ARM.get((int(cpu["CPU implementer"], 0), int(cpu.get("CPU part", "0"), 0)))
    try:
        family, model = int(cpu["cpu family"]), int(cpu["model"])
        stepping = int(cpu.get("stepping", "0"))
    except (KeyError, ValueError):
        return None
    if cpu.get("vendor_id") == "AuthenticAMD":
        return _zen(family, model)
    if cpu.get("vendor_id") != "GenuineIntel" or family != 6:
        return None
    if model == 85:
        return "cascade_lake" if stepping >= 5 else "skylake_sp"
    return _INTEL.get(model)


_ARM = {
    (0x41, 0xD0C): "neoverse_n1",
    (0x41, 0xD40): "neoverse_v1",
    (0x41, 0xD4F): "neoverse_v2",
    (0xC0, 0xAC3): "ampereone",
}
_INTEL = {
    42: "sandy_bridge", 45: "sandy_bridge", 60: "haswell", 63: "haswell", 69: "haswell", 70: "haswell",
    142: "kaby_lake_r", 158: "kaby_lake_r", 106: "ice_lake_sp", 108: "ice_lake_sp", 143: "sapphire_rapids",
}  # fmt: skip


def _zen(family: int, model: int) -> str | None:
    if family == 0x17:
        return "zen2" if model >= 0x30 else None
    if family == 0x19:
        return "zen4" if 0x10 <= model <= 0x1F or model >= 0x60 else "zen3"
    return "zen5" if family == 0x1A else None


def tlb_report(cpu: Mapping[str, str], *, ask_cpu: bool) -> TlbReport:
    """Return what is known of a processor's TLB.

    Args:
        cpu: a processor of `/proc/cpuinfo`.
        ask_cpu: whether the CPU at hand is that processor, so that its CPUID speaks for it.
    """
    preset = tlb_preset(cpu)
    name = cpu.get("model name") or f"implementer {cpu.get('CPU implementer', '?')}, part {cpu.get('CPU part', '?')}"
    source = f"preset by CPU model of /proc/cpuinfo ({name})"
    gaps = [] if preset else ["no TLB preset for this CPU model: that of the machine's defaults is used"]
    answer = cpuid(0x80000006) if ask_cpu and cpu.get("vendor_id") == "AuthenticAMD" else None
    if answer is not None:
        entries, trap = decode_amd_tlb(answer[1], int(cpu.get("cpu family", "0")))
        source += f"; CPUID: L2 TLB {entries} entries" + (" (corrected)" if trap else "")
        gaps += [trap] if trap else []
    elif not ask_cpu:
        gaps.append("CPUID was not asked: these files are another machine's")
    return TlbReport(preset, source, "; ".join(gaps))
