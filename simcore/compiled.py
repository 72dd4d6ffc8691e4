"""Compiling array kernels with Numba: one typed decorator and one cache that never goes stale.

Numba keys its on-disk cache by the file of the compiled function alone, so an edit in a *called* module would leave
old machine code in use. Here the cache directory carries a hash over the module and all that it imports, hence an edit
there compiles anew and an unchanged tree loads in milliseconds.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config, types

__all__ = ["cache_directory", "jit", "jit_allocating", "jit_inline", "keep_compiled", "source_hash"]

F = TypeVar("F", bound=Callable[..., object])
_IMPORT = re.compile(rb"^from (\.*)([\w.]*) import", re.MULTILINE)


@cache
def source_hash(module: str) -> str:
    """Hash of the sources that a module's compiled code depends on: its own and those of all that it imports of ours.

    Args:
        module: dotted name of a module in this package or in one beside it.

    Returns:
        16 hexadecimal digits.
    """
    digest = sha256()
    for name in sorted(_imported(module)):
        digest.update(name.encode())
        digest.update(_source(name))
    return digest.hexdigest()[:16]


def _imported(module: str) -> set[str]:
    """The module, and every module of its own package or this one that it imports, directly or not."""
    ours = {module.partition(".")[0], __package__}
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for dots, target in _IMPORT.findall(_source(name)):
            parent = name.split(".")[: -len(dots)] if dots else []
            imported = ".".join([*parent, *([target.decode()] if target else [])])
            if imported.partition(".")[0] in ours:
                waiting.append(imported)
    return found


@cache
def _source(module: str) -> bytes:
    spec = find_spec(module)
    return Path(spec.origin).read_bytes() if spec and spec.origin and spec.origin.endswith(".py") else b""


def cache_directory(module: str) -> Path:
    """Directory of the machine code compiled from a module's present sources."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "simcore" / source_hash(module)


def jit(function: F) -> F:
    """Compile a function on its first call, without the interpreter, and keep the machine code on disk.

    The function may not allocate: without Numba's reference counts, code that passes arrays around is several times
    faster and compiles in half the time. `jit_allocating` is for those that make arrays.

    Args:
        function: a function of numbers and arrays that Numba's nopython mode accepts.

    Returns:
        The compiled dispatcher, typed as the function itself.
    """
    return _compile(function, _nrt=False)


def jit_allocating(function: F) -> F:
    """Like `jit`, for functions that allocate arrays."""
    return _compile(function)


def jit_inline(function: F) -> F:
    """Like `jit`, for functions that compiled callers take in whole: passing arrays costs more than short work."""
    return _compile(function, _nrt=False, forceinline=True)


def _plain(argument: Any) -> Any:
    """The type that a compiled callee sees: no constants, one width of integer, so that it is compiled only once."""
    numba_types: Any = types
    argument = numba_types.unliteral(argument)
    return types.int64 if isinstance(argument, types.Integer) else argument


def _compile(function: F, **options: Any) -> F:
    dispatcher = numba.njit(**options)(function)
    template = dispatcher.get_call_template
    dispatcher.get_call_template = lambda args, kws: template(tuple(map(_plain, args)), kws)
    keep_compiled(dispatcher, function.__module__)
    return cast(F, dispatcher)


def keep_compiled(dispatcher: Any, module: str) -> None:
    """Keep the machine code of a function of a module on disk; where nothing can be written, it is not kept.

    Args:
        dispatcher: what Numba made of the function.
        module: dotted name of its module.
    """
    settings: Any = config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(cache_directory(module))
    try:
        with suppress(RuntimeError):  # a user without a home, a tree that is not his: compiled in each process
            dispatcher.enable_caching()
    finally:
        settings.CACHE_DIR = before
