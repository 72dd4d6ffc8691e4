"""Reading kernel memory by small BPF programs that nothing calls but this process.

They are of the kind ``syscall``, tied to no event, and only read, through the helper for which a bad address is an
error and no fault. It takes Linux 5.19, root, or CAP_BPF and CAP_PERFMON, and a kernel that is not locked down.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.host.kernel_memory.bpf_code import FRAME, Code

__all__ = ["KernelMemory", "KernelMemoryError"]

_SYS_BPF: Final = {"x86_64": 321, "aarch64": 280}
# Commands, kinds, flags and helpers [include/uapi/linux/bpf.h].
_MAP_CREATE, _PROG_LOAD, _PROG_TEST_RUN = 0, 5, 10
_ARRAY, _PERCPU_ARRAY, _SYSCALL_PROGRAM = 2, 6, 31
_MMAPABLE, _SLEEPABLE = 1 << 10, 1 << 4
_GET_CURRENT_TASK, _PROBE_READ_KERNEL, _LOOKUP_PERCPU = 35, 113, 195
_STEPS: Final = 1 << 9
"""Steps of one call: the kernel checks each of a loop's turns before it accepts a program."""

_LAST_ADDRESS: Final = (1 << 64) - 1
_MOST_BYTES: Final = 1 << 20
_MOST_LISTS: Final = 1 << 17
_ATTEMPTS: Final = 5
_STATE: Final = struct.Struct("<4Q")
"""Where a walk is: lists to walk, lists walked, address of the present element, words stored."""
_LISTS, _WALKED, _ELEMENT, _STORED = 0, 8, 16, 24

_libc = ctypes.CDLL(None, use_errno=True)


class KernelMemoryError(Exception):
    """Kernel memory cannot be read; the text says why."""


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
        self._most_words = most_elements + _MOST_LISTS
        try:
            self._bytes_fd, self._bytes = self._array(_MOST_BYTES)
            self._heads_fd, self._heads = self._array(8 * _MOST_LISTS)
            self._words_fd, self._words = self._array(8 * self._most_words)
            self._state_fd, self._state = self._array(_STATE.size)
            self.per_cpu_fd = self._map(_PERCPU_ARRAY, 8, 0)
            self._reader, self._walker = self._load(self._read_code()), self._load(self._walk_code())
            self._locator, self._namer = self._load(self._locate_code()), self._load(self._task_code())
        except KernelMemoryError:
            self.close()
            raise

    def read(self, address: int, size: int) -> bytes:
        """Return up to a mebibyte of kernel memory.

        Raises:
            KernelMemoryError: Nothing is mapped there.
        """
        if not 0 < size <= _MOST_BYTES:
            raise ValueError(f"{size} bytes, expected 1 to {_MOST_BYTES}")
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
        if len(heads) > _MOST_LISTS:
            raise KernelMemoryError(f"{len(heads)} lists are more than {_MOST_LISTS}")
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
        fd, _ = _bpf(_MAP_CREATE, struct.pack("<IIIII", kind, 4, size, 1, flags), "a BPF map")
        self.callback(os.close, fd)
        return fd

    def _load(self, code: Code) -> int:
        program, licence = code.assemble(), ctypes.create_string_buffer(b"GPL")
        body = ctypes.create_string_buffer(program, len(program))
        attributes = struct.pack(
            "<IIQQIIQII16s", _SYSCALL_PROGRAM, len(program) // 8, ctypes.addressof(body), ctypes.addressof(licence),
            0, 0, 0, 0, _SLEEPABLE, b"simcore",
        )  # fmt: skip
        fd, _ = _bpf(_PROG_LOAD, attributes, "a BPF program that reads kernel memory")
        self.callback(os.close, fd)
        return fd

    def _run(self, program: int, first: int = 0, second: int = 0) -> int:
        """Run a program on two numbers, and return its answer."""
        context = ctypes.create_string_buffer(struct.pack("<2Q", first, second), 16)
        attributes = struct.pack(
            "<IIIIQQIIIIQQIII", program, 0, 0, 0, 0, 0, 0, 0, len(context), 0, ctypes.addressof(context), 0, 0, 0, 0
        )
        _, answered = _bpf(_PROG_TEST_RUN, attributes, "a BPF program")
        return int(struct.unpack_from("<i", answered, 4)[0])

    def _read_code(self) -> Code:
        """``read(address, size)``: copy to the array of bytes."""
        code = Code()
        code.load(3, 1, 0)
        code.load(2, 1, 8)
        code.jump_if_at_least_number(2, _MOST_BYTES + 1, "too large")
        code.value_address(1, self._bytes_fd)
        code.call(_PROBE_READ_KERNEL)
        code.answer()
        code.label("too large")
        code.answer(-errno.E2BIG)
        return code

    def _task_code(self) -> Code:
        code = Code()
        code.call(_GET_CURRENT_TASK)
        code.value_address(1, self._bytes_fd)
        code.store(1, 0, 0)
        code.answer(0)
        return code

    def _locate_code(self) -> Code:
        """``locate(cpu)``: the address of that CPU's element."""
        code = Code()
        code.load(3, 1)
        code.store_number(FRAME, -8, 0)
        code.move(2, FRAME)
        code.add(2, -8)
        code.map_address(1, self.per_cpu_fd)
        code.call(_LOOKUP_PERCPU)
        code.jump_if_number(0, 0, "no such CPU")
        code.value_address(1, self._bytes_fd)
        code.store(1, 0, 0)
        code.answer(0)
        code.label("no such CPU")
        code.answer(-errno.ENOENT)
        return code

    def _walk_code(self) -> Code:
        """Take `_STEPS` steps: each stores an element of the present list, or 0 at its end."""
        state, steps, element, head = 6, 7, 8, 9
        code = Code()
        code.value_address(state, self._state_fd)
        code.set(steps, _STEPS)

        code.label("step")
        code.load(1, state, _WALKED)
        code.load(2, state, _LISTS)
        code.jump_if_at_least(1, 2, "stop")
        code.jump_if_at_least_number(1, _MOST_LISTS, "stop")
        code.value_address(head, self._heads_fd)
        code.add_words(head, 1)
        code.load(head, head)
        code.load(element, state, _ELEMENT)
        code.move(3, head)
        code.jump_if_number(element, 0, "next")  # at the beginning of a list

        code.load(2, state, _STORED)
        code.jump_if_at_least_number(2, self._most_words, "stop")
        code.value_address(1, self._words_fd)
        code.move(3, 2)
        code.add_words(1, 3)
        code.add(2, 1)
        code.store(state, _STORED, 2)
        code.jump_if_equal(element, head, "end of list")
        code.store(1, 0, element)
        code.move(3, element)

        code.label("next")  # where the element at register 3 points to
        code.set(2, 8)
        code.move(1, FRAME)
        code.add(1, -8)
        code.call(_PROBE_READ_KERNEL)
        code.jump_if_not_number(0, 0, "stop")
        code.load(1, FRAME, -8)
        code.store(state, _ELEMENT, 1)
        code.jump("done")

        code.label("end of list")
        code.store_number(1, 0, 0)
        code.store_number(state, _ELEMENT, 0)
        code.load(1, state, _WALKED)
        code.add(1, 1)
        code.store(state, _WALKED, 1)

        code.label("done")
        code.add(steps, -1)
        code.jump_if_not_number(steps, 0, "step")
        code.answer(0)
        code.label("stop")
        code.answer(1)
        return code


def _reason(code: int) -> str:
    if code in {errno.EPERM, errno.EACCES} and os.geteuid() != 0:
        return "not without root"
    hint = "; it takes Linux 5.19, and no lockdown for confidentiality" if code == errno.EINVAL else ""
    return os.strerror(code) + hint


def _bpf(command: int, attributes: bytes, what: str) -> tuple[int, bytes]:
    """Call `bpf`, and return its answer and what became of the attributes.

    Raises:
        KernelMemoryError: The kernel refuses.
    """
    number = _SYS_BPF.get(os.uname().machine)
    if number is None:
        raise KernelMemoryError(f"{what}: not known how to call bpf on {os.uname().machine}")
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    answer = int(_libc.syscall(number, command, buffer, len(attributes)))
    if answer < 0:
        code = ctypes.get_errno()
        raise KernelMemoryError(f"{what}: {_reason(code)}")
    return answer, buffer.raw
