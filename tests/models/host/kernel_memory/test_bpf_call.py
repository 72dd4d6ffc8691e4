"""The system call, where it is not known how to make it."""

from __future__ import annotations

import os

import pytest

from models.host.kernel_memory import bpf_call
from models.host.kernel_memory.memory import KernelMemory, KernelMemoryError


def test_another_architecture_is_refused_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system call has another number everywhere."""
    monkeypatch.setattr(bpf_call, "_SYS_BPF", {})
    with pytest.raises(KernelMemoryError, match=os.uname().machine):
        KernelMemory(1)
