"""The tree of mappings: it holds what was mapped, its nodes are of lawful size, and none is lost."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

from models.kernel.mapping_tree import MappingTree

START = ((400, 410), (411, 500), (600, 700), (1 << 35, (1 << 35) + 20))


class Watched:
    """A tree whose nodes are counted."""

    def __init__(self) -> None:
        self.tree = MappingTree(START, -1)
        self.taken = 0
        self.nodes = len(self.walk()[1])

    def take(self) -> int:
        self.taken += 1
        return self.taken

    def store(self, first: int, last: int, mapped: bool) -> tuple[int, list[int]]:
        """Nodes taken, and the slabs of those that are no longer used."""
        before = self.taken
        dead = self.tree.store(first, last, mapped, self.take)
        self.nodes += self.taken - before - len(dead)
        return self.taken - before, dead

    def walk(self) -> tuple[list[tuple[int, int, bool]], list[Any]]:
        """All entries as (first page, last page, mapped), and all nodes."""
        entries: list[tuple[int, int, bool]] = []
        nodes: list[Any] = []

        def visit(node: Any, first: int, depth: int) -> None:
            nodes.append(node)
            assert len(node.items) <= (16 if node.leaf else 10)
            assert node.leaf == (depth == self.tree.height)
            for end, item in zip(node.ends, node.items, strict=True):
                if node.leaf:
                    entries.append((first, end, item))
                else:
                    assert item.ends[-1] == end
                    visit(item, first, depth + 1)
                first = end + 1

        visit(self.tree._root, 0, 1)
        return entries, nodes


def test_files_that_come_and_go() -> None:
    """Mapped top-down, unmapped in any order: the entries are the mappings and the gaps between them."""
    for seed in range(5):
        random_, watched = random.Random(seed), Watched()
        places: dict[int, tuple[int, int]] = {}
        for _ in range(800):
            place = random_.randrange(200)
            if place in places:
                first, last = places.pop(place)
                watched.store(first, last, False)
            else:
                pages, end = random_.randrange(1, 33), (1 << 35) - 1
                for first, last in sorted(places.values(), reverse=True):
                    if end - last >= pages:
                        break
                    end = first - 1
                places[place] = (end - pages + 1, end)
                watched.store(end - pages + 1, end, True)
            entries, nodes = watched.walk()
            assert [one[:2] for one in entries if one[2]] == sorted([*places.values(), *START])
            assert all(one[2] or other[2] for one, other in pairwise(entries))
            assert len(nodes) == watched.nodes


def test_a_change_never_takes_more_than_was_set_aside() -> None:
    """What `mas_preallocate` takes is enough for the worst."""
    random_, watched = random.Random(3), Watched()
    live: list[tuple[int, int]] = []
    for step in range(3000):
        worst = watched.tree.nodes_at_worst()
        if live and random_.random() < (0.3 if step < 1500 else 0.7):
            first, last = live.pop(random_.randrange(len(live)))
            taken, _ = watched.store(first, last, False)
        else:
            first = 1000 + 100 * (step + 1)
            live.append((first, first + random_.randrange(1, 100) - 1))
            taken, _ = watched.store(first, live[-1][1], True)
        assert taken <= worst


def test_an_exact_fit_changes_no_node() -> None:
    """A gap that is filled whole, or a mapping between two others that goes, only changes a slot."""
    watched = Watched()
    assert watched.store(501, 599, True) == (0, [])
    assert watched.store(501, 599, False) == (0, [])


def test_a_mapping_beside_another_replaces_a_leaf() -> None:
    """One node is taken, and one that readers may still see waits for a grace period."""
    watched = Watched()
    taken, dead = watched.store(580, 599, True)
    assert (taken, len(dead)) == (1, 1)


def test_a_full_leaf_becomes_two() -> None:
    """A root of one leaf splits into two under a new root."""
    watched = Watched()
    first, heights = 10_000, []
    for _ in range(12):
        watched.store(first, first + 9, True)
        heights.append(watched.tree.height)
        first += 100
    assert heights[0] == 1
    assert heights[-1] == 2
    assert watched.tree.nodes_at_worst() == 1 + 3 * 2
