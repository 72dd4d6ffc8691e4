"""What tests of kernel memory share: whether it can be read here, and a made-up one."""

from collections.abc import Mapping

import pytest

from models.host.kernel_memory.memory import KernelMemory, KernelMemoryError
from models.host.kernel_memory.reader import KernelReader

PAGE = 4096


def _why_not() -> str:
    try:
        with KernelReader(1, 9):
            return ""
    except KernelMemoryError as reason:
        return str(reason)


_REASON = _why_not()
needs_kernel_memory = pytest.mark.skipif(bool(_REASON), reason=_REASON or "kernel memory can be read")


class MadeUpMemory(KernelMemory):
    """Memory that a test wrote: 8-byte words by address. Where none are, nothing is mapped."""

    def __init__(self, task: int, pages: Mapping[int, bytes]) -> None:
        self.task, self.pages = task, dict(pages)

    def current_task(self) -> int:
        return self.task

    def read(self, address: int, size: int) -> bytes:
        page, offset = address // PAGE * PAGE, address % PAGE
        if page not in self.pages or offset + size > PAGE:
            raise KernelMemoryError(f"no {size} bytes of kernel memory at {address:#x}")
        return self.pages[page][offset : offset + size]
