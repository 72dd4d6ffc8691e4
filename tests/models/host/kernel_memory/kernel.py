"""What tests of kernel memory share: whether it can be read here, and a made-up one."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path

import pytest

from models.host.kernel_memory.memory import KernelMemory, KernelMemoryError
from models.host.kernel_memory.type_info import BTF_FILE
from models.host.procfs import parse_release
from models.host.sources import Sources

PAGE = 4096
_CAN_READ = 1 << 38 | 1 << 39  # CAP_PERFMON, CAP_BPF


def _why_not() -> str:
    """Why the kernel, or this user's rights, do not allow it; what goes wrong in reading is no reason."""
    if platform.machine() != "x86_64":
        return "only page tables of x86-64 are known"
    if parse_release(Sources().text("version"))[1] < (5, 19):
        return "it takes Linux 5.19"
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    if os.geteuid() != 0 or int(status["CapEff"], 16) & _CAN_READ != _CAN_READ:
        return "it takes root"
    lockdown = Path("/sys/kernel/security/lockdown")
    if lockdown.exists() and "[confidentiality]" in lockdown.read_text():
        return "the kernel is locked down"
    return "" if BTF_FILE.exists() else "the kernel has no BTF"


_REASON = _why_not()
needs_kernel_memory = pytest.mark.skipif(bool(_REASON), reason=_REASON or "kernel memory can be read")


class MadeUpMemory(KernelMemory):
    """Memory that a test wrote, by page. Where none is, nothing is mapped."""

    def __init__(self, task: int, pages: Mapping[int, bytes]) -> None:
        self.task, self.pages = task, dict(pages)

    def current_task(self) -> int:
        return self.task

    def read(self, address: int, size: int) -> bytes:
        page, offset = address // PAGE * PAGE, address % PAGE
        if page not in self.pages or offset + size > PAGE:
            raise KernelMemoryError(f"no {size} bytes of kernel memory at {address:#x}")
        return self.pages[page][offset : offset + size]
