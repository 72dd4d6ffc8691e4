"""Every error that secret memory gives, by its name."""

from __future__ import annotations

import errno

import pytest

from models.kernel.errors import FaultResult, KernelRefusal
from models.kernel.kernel import Kernel
from models.kernel.limits import Accounting
from models.kernel.refusals import ANSWERS, attempt, hibernate, mremap
from models.kernel.secret_files import O_CLOEXEC
from tests.models.kernel.secret_steps import absent_pages, open_file, secret_kernel, task_of, touch

BOTH: tuple[Accounting, Accounting] = ("per_mm", "per_user")


@pytest.fixture(params=BOTH)
def kernel(request: pytest.FixtureRequest) -> Kernel:
    return secret_kernel("page", secretmem={"accounting": request.param})


def number(call: object) -> int:
    """Error number of the refusal that a call meets."""
    assert callable(call)
    with pytest.raises(KernelRefusal) as caught:
        call()
    return caught.value.errno


def test_memfd_secret(kernel: Kernel) -> None:
    """Only O_CLOEXEC is a flag; the length is 0 at first."""
    task = task_of(kernel)
    assert number(lambda: kernel.memfd_secret(task, 0, 1)) == errno.EINVAL
    assert kernel.memfd_secret(task, 0, O_CLOEXEC).size_pages == 0


def test_memfd_secret_where_there_is_none() -> None:
    """ENOSYS when switched off, and on arm64 whose linear map cannot be changed page by page."""
    off = secret_kernel("page", secretmem={"enabled": False})
    assert number(lambda: off.memfd_secret(task_of(off), 0)) == errno.ENOSYS
    off = secret_kernel("page")
    off.secretmem_enabled = False
    assert number(lambda: off.memfd_secret(task_of(off), 0)) == errno.ENOSYS


def test_ftruncate(kernel: Kernel) -> None:
    """To 0 while empty is allowed, once to a size, then EINVAL, to 0 as well."""
    file = kernel.memfd_secret(task_of(kernel), 0)
    kernel.ftruncate(file, 0)
    kernel.ftruncate(file, 5)
    for size in (0, 5, 6):
        assert number(lambda size=size: kernel.ftruncate(file, size)) == errno.EINVAL


def test_mmap(kernel: Kernel) -> None:
    """Shared and not executable, or not at all."""
    task = task_of(kernel)
    file = kernel.memfd_secret(task, 0)
    kernel.ftruncate(file, 1)
    assert number(lambda: kernel.mmap(task, file, 1, 0, private=True)) == errno.EINVAL
    assert number(lambda: kernel.mmap(task, file, 1, 0, executable=True)) == errno.EPERM
    assert number(lambda: kernel.mmap(task, file, 0, 0)) == errno.EINVAL
    assert kernel.mmap(task, file, 1, 0).pages == 1


def test_touching_beyond_the_size(kernel: Kernel) -> None:
    """SIGBUS, though the mapping is longer."""
    task = task_of(kernel)
    file = kernel.memfd_secret(task, 0)
    kernel.ftruncate(file, 2)
    mapping = kernel.mmap(task, file, 4, 0)
    got = kernel.fault(task, mapping, 0, 4)
    assert (got.done, got.result.value) == (2, "SIGBUS")
    assert kernel.limits.refusals == {"SIGBUS": 1}


def test_over_the_limit() -> None:
    """`per_mm`: EAGAIN at mmap. `per_user`: SIGBUS at the fault."""
    per_mm = secret_kernel("page")
    assert number(lambda: open_file(per_mm, task_of(per_mm, memlock_pages=1), 2)) == errno.EAGAIN
    per_user = secret_kernel("page", secretmem={"accounting": "per_user"})
    assert touch(per_user, task_of(per_user, memlock_pages=1), 2)[2].result is FaultResult.SIGBUS


EXPECTED = [
    ("read", errno.EINVAL, errno.EINVAL),
    ("write", errno.EINVAL, errno.EINVAL),
    ("pread", errno.ESPIPE, errno.ESPIPE),
    ("lseek", errno.ESPIPE, errno.ESPIPE),
    ("fallocate", errno.EOPNOTSUPP, errno.EOPNOTSUPP),
    ("vmsplice", errno.EFAULT, errno.EFAULT),
    ("process_vm_readv", errno.EFAULT, errno.EFAULT),
    ("read /proc/self/mem", errno.EIO, errno.EIO),
    ("mlock", errno.ENOMEM, errno.ENOMEM),
    ("munlock", 0, 0),
    ("madvise MADV_DONTNEED", errno.EINVAL, 0),
    ("madvise MADV_REMOVE", errno.EINVAL, errno.EOPNOTSUPP),
    ("open /proc/self/fd", errno.ENXIO, errno.ENXIO),
]


@pytest.mark.parametrize(("call", "per_mm", "per_user"), EXPECTED)
def test_calls_on_secret_memory(call: str, per_mm: int, per_user: int) -> None:
    """Each call's answer under both accountings; the pages stay where they are, also after madvise."""
    for accounting, answer in zip(BOTH, (per_mm, per_user), strict=True):
        kernel = secret_kernel("page", secretmem={"accounting": accounting})
        touch(kernel, task_of(kernel), 3)
        if answer:
            assert number(lambda kernel=kernel: attempt(kernel, call)) == answer
        else:
            attempt(kernel, call)
        assert len(absent_pages(kernel)) == 3


def test_the_table_has_no_other_call() -> None:
    """Every call of the table is tested above."""
    assert {call for call, _, _ in EXPECTED} == set(ANSWERS)


def test_mremap_may_grow(kernel: Kernel) -> None:
    """A longer mapping reaches more of the file; `per_mm` checks its length again."""
    task = task_of(kernel, memlock_pages=6)
    file = kernel.memfd_secret(task, 0)
    kernel.ftruncate(file, 8)
    mapping = kernel.mmap(task, file, 2, 0)
    kernel.fault(task, mapping, 0, 2)
    mremap(kernel, task, mapping, 6)
    assert kernel.fault(task, mapping, 0, 4).done == 4
    if kernel.limits.accounting == "per_mm":
        assert task.locked_pages == 6
        assert number(lambda: mremap(kernel, task, mapping, 7)) == errno.EAGAIN
    else:
        mremap(kernel, task, mapping, 8)
        assert kernel.fault(task, mapping, 0).result is FaultResult.SIGBUS
    assert number(lambda: mremap(kernel, task, mapping, 1)) == errno.EINVAL
    kernel.munmap(task, mapping, 0)
    assert task.locked_pages == 0


def test_hibernation_while_a_file_is_open(kernel: Kernel) -> None:
    """Refused as long as there is a secret file, also one that nobody has touched."""
    hibernate(kernel)
    task = task_of(kernel)
    file = kernel.memfd_secret(task, 0)
    assert number(lambda: hibernate(kernel)) == errno.EPERM
    kernel.close(task, file, 0)
    hibernate(kernel)
