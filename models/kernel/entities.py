"""Tasks, secret files and mappings, as the kernel's face hands them out."""

from collections import deque
from typing import Any

from models.kernel.areas import Areas
from models.kernel.descriptors import max_fds
from models.kernel.limits import User
from models.kernel.mapping_tree import MappingTree

__all__ = ["STANDARD_STREAMS", "AnonVma", "Mapping", "SecretFile", "Task", "Vma"]

STANDARD_STREAMS = 3
"""Descriptors that a task has open: input, output, errors."""


class Task:
    """A process with one thread.

    Attributes:
        holder: its number as a holder of pages; 0 once it is gone.
        user: whose process it is.
        generation: forks between it and the first task of its workload, plus one.
        mappings: what it has mapped, oldest first.
        files: secret files that it has open, oldest first; it closes them in any order, most often in this one.
        locked_pages: pages charged against RLIMIT_MEMLOCK under `per_mm`.
        ordinary: the mapping of its ordinary pages, once it has touched one.
        areas: where its mappings lie.
        descriptors: files that it has open beside secret ones.
        max_fds: descriptors that its table has room for.
        ending: it is in exit.
        forks: children that it has made.
        mapped: mappings that it has made itself.
        pipes: holder of the pages in pipes that it has filled; 0: none.
        charged_pages: pages of its own that its control group is charged for, mappings left out.
        exited: it has ended and waits to be collected.
        killed: the OOM killer has chosen it.
        process: the process of the simulation that acts for it, or None.
        tree: its tree of mappings, where the nodes are counted one by one; None: as footprints say on average.
        vmas: those of ordinary memory, in ascending order, where its tree is followed.
    """

    __slots__ = (
        "areas",
        "charged_pages",
        "descriptors",
        "ending",
        "exited",
        "files",
        "forks",
        "generation",
        "holder",
        "killed",
        "locked_pages",
        "mapped",
        "mappings",
        "max_fds",
        "ordinary",
        "pipes",
        "process",
        "tree",
        "user",
        "vmas",
    )

    def __init__(self, holder: int, user: User, generation: int, areas: Areas) -> None:
        self.holder = holder
        self.areas = areas
        self.descriptors = STANDARD_STREAMS
        self.max_fds = max_fds(STANDARD_STREAMS)
        self.forks = self.mapped = 0
        self.ending = False
        self.user = user
        self.generation = generation
        self.mappings: list[Mapping] = []
        self.files: deque[SecretFile] = deque()
        self.locked_pages = 0
        self.ordinary: Mapping | None = None
        self.pipes = 0
        self.charged_pages = 0
        self.exited = False
        self.killed = False
        self.process: Any = None
        self.tree: MappingTree | None = None
        self.vmas: list[Vma] = []


class SecretFile:
    """An inode of secret memory.

    Attributes:
        holder: its number as a holder of pages; 0 once it is released.
        user: who opened it, to whom `per_user` accounting charges its pages.
        size_pages: its length; 0 until it is truncated to one.
        present: pages that exist, from index 0 on.
        references: open descriptors and mappings.
        pool: what a pool policy keeps with the file.
    """

    __slots__ = ("holder", "pool", "present", "references", "size_pages", "user")

    def __init__(self, holder: int, user: User) -> None:
        self.holder = holder
        self.user = user
        self.size_pages = 0
        self.present = 0
        self.references = 1
        self.pool: Any = None


class Mapping:
    """A range of a task's address space.

    Attributes:
        holder: its number as a holder of page tables and ordinary pages.
        file: the secret file mapped, or None for ordinary memory.
        start: its first page in the task's address space.
        pages: its length.
        tables: numbers of the shared page tables at its start and its end.
        shared: a task's children get it as well.
        inside: secret files mapped inside, when it is an area reserved for them.
        touched: pages touched, from its start on.
        locked: whether its length counts against RLIMIT_MEMLOCK.
        charged_pages: ordinary pages and page tables that the owner's control group is charged for.
    """

    __slots__ = (
        "charged_pages", "file", "holder", "inside", "locked", "pages", "shared", "start", "tables", "touched",
    )  # fmt: skip

    def __init__(self, holder: int, file: SecretFile | None, pages: int, *, locked: bool) -> None:
        self.holder = holder
        self.file = file
        self.start = 0
        self.pages = pages
        self.tables: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
        self.inside: list[Mapping] = []
        self.touched = 0
        self.locked = locked
        self.shared = False
        self.charged_pages = 0


class AnonVma:
    """What vmas have in common that began as one.

    Attributes:
        holder: who holds its object.
        vmas: how many there are.
    """

    __slots__ = ("holder", "vmas")

    def __init__(self, holder: int) -> None:
        self.holder, self.vmas = holder, 0


class Vma:
    """A range of ordinary memory as the kernel keeps it: of mappings side by side.

    Attributes:
        start: its first page.
        end: the page behind its last one.
        holder: who holds its objects.
        anon_vma: what it has in common with others.
    """

    __slots__ = ("anon_vma", "end", "holder", "start")

    def __init__(self, start: int, end: int, holder: int, anon_vma: AnonVma) -> None:
        self.start, self.end, self.holder, self.anon_vma = start, end, holder, anon_vma
