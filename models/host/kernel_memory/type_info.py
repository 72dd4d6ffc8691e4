"""The layout of the running kernel's structures, from its BPF Type Format [Documentation/bpf/btf.rst]."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["BTF_FILE", "TypeInfo", "TypeInfoError"]

BTF_FILE: Final = Path("/sys/kernel/btf/vmlinux")
_MAGIC: Final = 0xEB9F
_HEADER: Final = struct.Struct("<HBBIIIII")
_TYPE: Final = struct.Struct("<III")
_MEMBER: Final = struct.Struct("<III")
_ENUMERATOR: Final = struct.Struct("<Ii")
_POINTER_BYTES: Final = 8

# Kinds of types [include/uapi/linux/btf.h].
_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM = 1, 2, 3, 4, 5, 6
_MODIFIERS: Final = frozenset({8, 9, 10, 11, 18})  # typedef, volatile, const, restrict, type tag
#: Bytes that follow the record of a type: a fixed number, and so many for each of its elements.
_TRAILING: Final = {
    _INT: (4, 0), _ARRAY: (12, 0), _STRUCT: (0, 12), _UNION: (0, 12), _ENUM: (0, 8), 13: (0, 8), 14: (4, 0),
    15: (0, 12), 17: (4, 0), 19: (0, 12),
}  # fmt: skip


class TypeInfoError(Exception):
    """The kernel has no such type or member, or the data is not BTF; the text says which."""


class _Type(NamedTuple):
    kind: int
    elements: int
    packed_offsets: bool  # a member's offset shares its word with the size of a bit field
    size_or_type: int
    trailing: bytes


class TypeInfo:
    """Sizes and offsets of structures by their names in the kernel's source."""

    def __init__(self, data: bytes) -> None:
        """Read the types.

        Args:
            data: of `BTF_FILE`.

        Raises:
            TypeInfoError: It is not BTF.
        """
        if len(data) < _HEADER.size or _HEADER.unpack_from(data)[0] != _MAGIC:
            raise TypeInfoError("not BTF data")
        try:
            self._parse(data)
        except (struct.error, ValueError):
            raise TypeInfoError("BTF data that ends too early") from None

    def _parse(self, data: bytes) -> None:
        _, _, _, header, types_at, types_bytes, strings_at, strings_bytes = _HEADER.unpack_from(data)
        self._strings = data[header + strings_at : header + strings_at + strings_bytes]
        self._types: list[_Type] = [_Type(0, 0, False, 0, b"")]  # number 0 is void
        self._numbers: dict[tuple[int, int], int] = {}
        at, end = header + types_at, header + types_at + types_bytes
        while at < end:
            name, info, size_or_type = _TYPE.unpack_from(data, at)
            at += _TYPE.size
            kind, elements = info >> 24 & 31, info & 0xFFFF
            fixed, each = _TRAILING.get(kind, (0, 0))
            length = fixed + each * elements
            if name and kind in {_STRUCT, _UNION, _ENUM}:
                self._numbers.setdefault((kind, name), len(self._types))
            self._types.append(_Type(kind, elements, bool(info >> 31), size_or_type, data[at : at + length]))
            at += length
        self._names = {self._text(name): name for _, name in self._numbers}

    @classmethod
    def of_this_kernel(cls) -> TypeInfo:
        """Read `BTF_FILE`.

        Raises:
            TypeInfoError: The kernel has none (CONFIG_DEBUG_INFO_BTF).
        """
        try:
            return cls(BTF_FILE.read_bytes())
        except OSError as error:
            raise TypeInfoError(f"{BTF_FILE}: {error.strerror}") from None

    def size(self, structure: str) -> int:
        """Return the bytes of a structure."""
        return self._size(self._number(_STRUCT, structure))

    def offset(self, structure: str, path: str) -> int:
        """Return where a member lies, in bytes.

        Args:
            structure: its name.
            path: the member's name, with those of the structures inside it on the way, joined by dots.

        Raises:
            TypeInfoError: There is no such structure or member.
        """
        return self._member(structure, path)[0]

    def length(self, structure: str, path: str) -> int:
        """Return how many elements an array has that is a member of a structure."""
        found = self._types[self._plain(self._member(structure, path)[1])]
        if found.kind != _ARRAY:
            raise TypeInfoError(f"{structure}.{path} is no array")
        return int(_TYPE.unpack(found.trailing)[2])

    def enumerators(self, name: str) -> dict[str, int]:
        """Return the values of an enumeration by their names."""
        found = self._types[self._number(_ENUM, name)]
        pairs = (_ENUMERATOR.unpack_from(found.trailing, at) for at in range(0, len(found.trailing), _ENUMERATOR.size))
        return {self._text(at): value for at, value in pairs}

    def _text(self, at: int) -> str:
        return self._strings[at : self._strings.index(0, at)].decode("ascii", "replace")

    def _number(self, kind: int, name: str) -> int:
        number = self._numbers.get((kind, self._names.get(name, -1)))
        if number is None:
            raise TypeInfoError(f"this kernel has no {'enum' if kind == _ENUM else 'struct'} {name}")
        return number

    def _plain(self, number: int) -> int:
        """Skip type names and qualifiers."""
        while self._types[number].kind in _MODIFIERS:
            number = self._types[number].size_or_type
        return number

    def _size(self, number: int) -> int:
        found = self._types[self._plain(number)]
        if found.kind == _PTR:
            return _POINTER_BYTES
        if found.kind == _ARRAY:
            element, _, count = _TYPE.unpack(found.trailing)
            return int(count) * self._size(element)
        return found.size_or_type

    def _member(self, structure: str, path: str) -> tuple[int, int]:
        """Return a member's offset in bytes, and the number of its type."""
        number, bits = self._number(_STRUCT, structure), 0
        for name in path.split("."):
            found = self._find(self._plain(number), name)
            if found is None:
                raise TypeInfoError(f"this kernel's struct {structure} has no {path}")
            bits, number = bits + found[0], found[1]
        return bits // 8, number

    def _find(self, number: int, name: str) -> tuple[int, int] | None:
        """Look a member up, also in structures and unions without a name."""
        for at, member, offset in self._members(number):
            text = self._text(at)
            if text == name:
                return offset, member
            if not text and (inner := self._find(self._plain(member), name)) is not None:
                return offset + inner[0], inner[1]
        return None

    def _members(self, number: int) -> Iterator[tuple[int, int, int]]:
        found = self._types[number]
        if found.kind in {_STRUCT, _UNION}:
            for at in range(0, len(found.trailing), _MEMBER.size):
                name, member, offset = _MEMBER.unpack_from(found.trailing, at)
                yield name, member, offset & 0xFFFFFF if found.packed_offsets else offset
