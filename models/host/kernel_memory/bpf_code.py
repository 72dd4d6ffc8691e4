"""A BPF program, instruction by instruction, with labels for its jumps [Documentation/bpf/standardization]."""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["FRAME", "Code"]

FRAME: Final = 10
"""The register that points to the end of a program's own memory."""
_WIDE = 0x18
_MAP_FD, _MAP_VALUE = 1, 2


class Code:
    """A program. Registers are numbers: 0 an answer, 1 to 5 arguments of a call, 6 to 9 kept over calls."""

    def __init__(self) -> None:
        self._instructions: list[tuple[int, int, int, int, int]] = []
        self._labels: dict[str, int] = {}
        self._targets: dict[int, str] = {}

    def move(self, to: int, source: int) -> None:
        """Copy a register."""
        self._add(0xBF, to, source)

    def set(self, to: int, value: int) -> None:
        """Put a number into a register."""
        self._add(0xB7, to, value=value)

    def add(self, to: int, value: int) -> None:
        """Add a number to a register."""
        self._add(0x07, to, value=value)

    def add_words(self, to: int, words: int) -> None:
        """Advance an address by so many 8-byte words as a register says, which then holds bytes."""
        self._add(0x67, words, value=3)
        self._add(0x0F, to, words)

    def load(self, to: int, address: int, offset: int = 0) -> None:
        """Load 8 bytes from memory."""
        self._add(0x79, to, address, offset)

    def store(self, address: int, offset: int, source: int) -> None:
        """Store 8 bytes to memory."""
        self._add(0x7B, address, source, offset)

    def store_number(self, address: int, offset: int, value: int) -> None:
        """Store a number as 8 bytes."""
        self._add(0x7A, address, 0, offset, value)

    def map_address(self, to: int, fd: int) -> None:
        """Load what stands for a map when a helper is called."""
        self._wide(to, _MAP_FD, fd)

    def value_address(self, to: int, fd: int) -> None:
        """Load the address of the first byte of an array map."""
        self._wide(to, _MAP_VALUE, fd)

    def call(self, helper: int) -> None:
        """Call a helper of the kernel by its number."""
        self._add(0x85, value=helper)

    def jump(self, label: str) -> None:
        """Go on elsewhere."""
        self._jump(0x05, label)

    def jump_if_number(self, left: int, right: int, label: str) -> None:
        """Go on elsewhere if a register holds a number."""
        self._jump(0x15, label, left, value=right)

    def jump_if_not_number(self, left: int, right: int, label: str) -> None:
        """Go on elsewhere if a register does not hold a number."""
        self._jump(0x55, label, left, value=right)

    def jump_if_equal(self, left: int, right: int, label: str) -> None:
        """Go on elsewhere if two registers hold the same."""
        self._jump(0x1D, label, left, right)

    def jump_if_at_least(self, left: int, right: int, label: str) -> None:
        """Go on elsewhere if one register holds at least what another does, both without sign."""
        self._jump(0x3D, label, left, right)

    def jump_if_at_least_number(self, left: int, right: int, label: str) -> None:
        """Go on elsewhere if a register holds at least a number, without sign."""
        self._jump(0x35, label, left, value=right)

    def answer(self, value: int | None = None) -> None:
        """End the program or function: with a number, or with what the last call answered."""
        if value is not None:
            self.set(0, value)
        self._add(0x95)

    def label(self, name: str) -> None:
        """Name this place."""
        self._labels[name] = len(self._instructions)

    def assemble(self) -> bytes:
        """Return the program's bytes."""
        out = b""
        for at, (code, to, source, offset, value) in enumerate(self._instructions):
            jump = self._labels[self._targets[at]] - at - 1 if at in self._targets else offset
            out += struct.pack("<BBhi", code, source << 4 | to, jump, value)
        return out

    def _add(self, code: int, to: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> None:
        self._instructions.append((code, to, source, offset, value))

    def _wide(self, to: int, kind: int, value: int) -> None:
        self._add(_WIDE, to, kind, value=value)
        self._add(0)  # the upper half

    def _jump(self, code: int, label: str, to: int = 0, source: int = 0, value: int = 0) -> None:
        self._targets[len(self._instructions)] = label
        self._add(code, to, source, value=value)
