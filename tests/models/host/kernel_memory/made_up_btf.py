"""BTF data for a few structures, written as the kernel's own is."""

import struct

INT, POINTER, ARRAY, STRUCT, UNION, ENUM, TYPEDEF = 1, 2, 3, 4, 5, 6, 8


class MadeUpBtf:
    """Types in the order in which they are added; the first has number 1."""

    def __init__(self) -> None:
        self._strings, self._types, self._count = b"\0", b"", 0

    def _name(self, text: str) -> int:
        if not text:
            return 0
        at = len(self._strings)
        self._strings += text.encode() + b"\0"
        return at

    def add(self, kind: int, name: str, size_or_type: int, trailing: bytes = b"", elements: int = 0) -> int:
        self._types += struct.pack("<III", self._name(name), kind << 24 | elements, size_or_type) + trailing
        self._count += 1
        return self._count

    def number(self, name: str, size: int) -> int:
        return self.add(INT, name, size, struct.pack("<I", 8 * size))

    def pointer(self, to: int) -> int:
        return self.add(POINTER, "", to)

    def array(self, of: int, count: int) -> int:
        return self.add(ARRAY, "", 0, struct.pack("<III", of, of, count))

    def structure(self, name: str, size: int, *members: tuple[str, int, int], kind: int = STRUCT) -> int:
        """Members are names, types and offsets in bytes."""
        rows = b"".join(struct.pack("<III", self._name(text), of, 8 * at) for text, of, at in members)
        return self.add(kind, name, size, rows, len(members))

    def enumeration(self, name: str, **values: int) -> int:
        rows = b"".join(struct.pack("<Ii", self._name(text), value) for text, value in values.items())
        return self.add(ENUM, name, 4, rows, len(values))

    def data(self) -> bytes:
        sizes = (24, 0, len(self._types), len(self._types), len(self._strings))
        return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, *sizes) + self._types + self._strings
