"""Whether this kernel has `memfd_secret`, and how it accounts for secret pages: asked without touching a page."""

from __future__ import annotations

import errno
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.host.system_calls import UnsupportedSystemError, memfd_secret

__all__ = ["SecretmemProbe", "probe_secretmem"]


@dataclass(frozen=True)
class SecretmemProbe:
    """What was found; ``reason`` says why secret memory is not to be had, or what stays unknown."""

    available: bool
    accounting: Literal["per_mm", "per_user"] | None
    reason: str


def probe_secretmem() -> SecretmemProbe:
    """Open and map one secret page without touching it: nothing is split.

    Under `per_mm` accounting the mapping is locked (flag ``lo`` in /proc/self/smaps), under `per_user` it is not.
    """
    try:
        descriptor = memfd_secret()
    except UnsupportedSystemError as error:
        return SecretmemProbe(False, None, str(error))
    except OSError as error:
        return SecretmemProbe(False, None, _why(error))
    try:
        os.ftruncate(descriptor, mmap.PAGESIZE)
        try:
            mapping = mmap.mmap(descriptor, mmap.PAGESIZE)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return SecretmemProbe(True, "per_mm", "RLIMIT_MEMLOCK allows not one page")
            return SecretmemProbe(True, None, f"a secret file cannot be mapped: {error.strerror}")
        with mapping:
            return SecretmemProbe(True, *_accounting(descriptor))
    finally:
        os.close(descriptor)


def _accounting(descriptor: int) -> tuple[Literal["per_mm", "per_user"] | None, str]:
    inode = os.fstat(descriptor).st_ino
    try:
        lines = Path("/proc/self/smaps").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError as error:
        return None, f"/proc/self/smaps: {error.strerror}: accounting unknown"
    inside = False
    for line in lines:
        words = line.split()
        if len(words) >= 6 and "-" in words[0] and ":" in words[3]:
            inside = words[4] == str(inode) and "secretmem" in line
        elif inside and words and words[0] == "VmFlags:":
            return ("per_mm" if "lo" in words[1:] else "per_user"), ""
    return None, "the mapping is not in /proc/self/smaps: accounting unknown"


def _why(error: OSError) -> str:
    if error.errno == errno.ENOSYS:
        return "memfd_secret: ENOSYS: built without it, switched off (secretmem.enable), or the direct map is fixed"
    if error.errno == errno.EPERM:
        return "memfd_secret: EPERM: forbidden here, as in a container with a seccomp filter"
    return f"memfd_secret: {errno.errorcode.get(error.errno or 0, error.errno)}: {error.strerror}"
