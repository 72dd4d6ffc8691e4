"""Reading kernel memory by small BPF programs that nothing calls but this process.

They are of the kind ``syscall``, tied to no event, and only read, through the helper for which a bad address is an
error and no fault. It takes Linux 5.19, root, or CAP_BPF and CAP_PERFMON, and a kernel that is not locked down.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.host.kernel_memory.bpf_call import KernelMemoryError, bpf
from models.host.kernel_memory.bpf_code import Code
from models.host.kernel_memory.bpf_programs import (
    MOST_BYTES,
    MOST_LISTS,
    locate_code,
    read_code,
    task_code,
    walk_code,
)

__all__ = ["KernelMemory", "KernelMemoryError"]

# Commands, kinds and flags [include/uapi/linux/bpf.h].
_MAP_CREATE, _PROG_LOAD, _PROG_TEST_RUN = 0, 5, 10
_ARRAY, _PERCPU_ARRAY, _SYSCALL_PROGRAM = 2, 6, 31
_MMAPABLE, _SLEEPABLE = 1 << 10, 1 << 4

_LAST_ADDRESS: Final = (1 << 64) - 1
_ATTEMPTS: Final = 5
_STATE: Final = struct.Struct("<4Q")
"""Where a walk is: lists to walk, lists walked, address of the present element, words stored."""


class KernelMemory(ExitStack):
    """The kernel's memory by address; a context manager, as it holds programs and maps."""

    def __init__(self, most_elements: int) -> None:
        """Load the programs.

        Args:
            most_elements: of all lists of one `walk` together.

        Raises:
            KernelMemoryError: The kernel does not allow it, or has no such programs.
        """
        super().__init__()
        self._most_words = most_elements + MOST_LISTS
        try:
            self._bytes_fd, self._bytes = self._array(MOST_BYTES)
            self._heads_fd, self._heads = self._array(8 * MOST_LISTS)
            self._words_fd, self._words = self._array(8 * self._most_words)
            self._state_fd, self._state = self._array(_STATE.size)
            self.per_cpu_fd = self._map(_PERCPU_ARRAY, 8, 0)
            walk = walk_code(self._state_fd, self._heads_fd, self._words_fd, self._most_words)
            self._reader, self._walker = self._load(read_code(self._bytes_fd)), self._load(walk)
            self._locator = self._load(locate_code(self.per_cpu_fd, self._bytes_fd))
            self._namer = self._load(task_code(self._bytes_fd))
        except KernelMemoryError:
            self.close()
            raise

    def read(self, address: int, size: int) -> bytes:
        """Return up to a mebibyte of kernel memory.

        Raises:
            KernelMemoryError: Nothing is mapped there.
        """
        if not 0 < size <= MOST_BYTES:
            raise ValueError(f"{size} bytes, expected 1 to {MOST_BYTES}")
        # What a wrong pointer leads to may be no address at all.
        if not 0 <= address <= _LAST_ADDRESS - size or self._run(self._reader, address, size) != 0:
            raise KernelMemoryError(f"no {size} bytes of kernel memory at {address:#x}")
        return self._bytes[:size]

    def word(self, address: int) -> int:
        """Return 8 bytes of kernel memory as a number."""
        return int.from_bytes(self.read(address, 8), "little")

    def current_task(self) -> int:
        """Return the address of the `struct task_struct` of this thread."""
        self._run(self._namer)
        return int.from_bytes(self._bytes[:8], "little")

    def per_cpu_element(self, cpu: int) -> int:
        """Return the address of a CPU's element of the per-CPU array ``per_cpu_fd``."""
        if self._run(self._locator, cpu) != 0:
            raise KernelMemoryError(f"CPU {cpu} has no per-CPU data")
        return int.from_bytes(self._bytes[:8], "little")

    def walk(self, heads: Sequence[int]) -> list[NDArray[np.uint64]]:
        """Walk doubly linked lists, all in one call: others have as little time as can be to change them meanwhile.

        Args:
            heads: address of each list's `struct list_head`.

        Returns:
            For each list, uint64 addresses of the `struct list_head` in its elements, first to last.

        Raises:
            KernelMemoryError: Lists changed while they were walked, again and again, or have more elements than was
                said.
        """
        if len(heads) > MOST_LISTS:
            raise KernelMemoryError(f"{len(heads)} lists are more than {MOST_LISTS}")
        self._heads[: 8 * len(heads)] = np.array(heads, np.uint64).tobytes()
        for _ in range(_ATTEMPTS):
            self._state[: _STATE.size] = _STATE.pack(len(heads), 0, 0, 0)
            while self._run(self._walker) == 0:
                pass
            _, walked, _, stored = _STATE.unpack_from(self._state)
            if walked == len(heads):
                break
        else:
            raise KernelMemoryError(f"list {walked} of {len(heads)} changed while it was walked, or is too long")
        words = np.frombuffer(self._words[: 8 * stored], np.uint64)
        return [part[:-1] for part in np.split(words, np.flatnonzero(words == 0) + 1)[:-1]]

    def _array(self, size: int) -> tuple[int, mmap.mmap]:
        """Make an array of one element, and map it into this process."""
        fd = self._map(_ARRAY, size, _MMAPABLE)
        mapped = mmap.mmap(fd, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
        self.callback(mapped.close)
        return fd, mapped

    def _map(self, kind: int, size: int, flags: int) -> int:
        fd, _ = bpf(_MAP_CREATE, struct.pack("<IIIII", kind, 4, size, 1, flags), "a BPF map")
        self.callback(os.close, fd)
        return fd

    def _load(self, code: Code) -> int:
        program, licence = code.assemble(), ctypes.create_string_buffer(b"GPL")
        body = ctypes.create_string_buffer(program, len(program))
        attributes = struct.pack(
            "<IIQQIIQII16s", _SYSCALL_PROGRAM, len(program) // 8, ctypes.addressof(body), ctypes.addressof(licence),
            0, 0, 0, 0, _SLEEPABLE, b"simcore",
        )  # fmt: skip
        fd, _ = bpf(_PROG_LOAD, attributes, "a BPF program that reads kernel memory")
        self.callback(os.close, fd)
        return fd

    def _run(self, program: int, first: int = 0, second: int = 0) -> int:
        """Run a program on two numbers, and return its answer."""
        context = ctypes.create_string_buffer(struct.pack("<2Q", first, second), 16)
        attributes = struct.pack(
            "<IIIIQQIIIIQQIII", program, 0, 0, 0, 0, 0, 0, 0, len(context), 0, ctypes.addressof(context), 0, 0, 0, 0
        )
        _, answered = bpf(_PROG_TEST_RUN, attributes, "a BPF program")
        return int(struct.unpack_from("<i", answered, 4)[0])
