"""The tree of mappings: it holds what was mapped, its nodes are of lawful size, and none is lost."""

from __future__ import annotations

import random
from itertools import pairwise

from models.kernel.mapping_tree import MappingTree
from models.kernel.mapping_tree_nodes import LEAF_SLOTS

START = ((400, 410), (411, 500), (600, 700), (1 << 35, (1 << 35) + 20))


class Watched:
    """A tree whose nodes are counted."""

    def __init__(self) -> None:
        self.tree = MappingTree(START, -1)
        self.taken = 0
        self.nodes = len(self.walk()[1])

    def store(self, first: int, last: int, mapped: bool) -> tuple[int, list[int]]:
        """Nodes taken, and the slabs of those that are no longer used."""
        spare = [self.taken + at for at in range(2 * self.tree.nodes_at_worst(), 0, -1)]
        aside = len(spare)
        dead = self.tree.store(first, last, mapped, spare)
        taken = aside - len(spare)
        self.taken += taken
        self.nodes += taken - len(dead)
        return taken, dead

    def walk(self) -> tuple[list[tuple[int, int, bool]], list[int]]:
        """All entries as (first page, last page, mapped), and the slabs of all nodes."""
        entries: list[tuple[int, int, bool]] = []
        slabs: list[int] = []
        arrays = self.tree.arrays

        def visit(number: int, first: int, depth: int) -> int:
            count, leaf, slab = (int(value) for value in arrays.nodes[number])
            slabs.append(slab)
            assert count <= (16 if leaf else 10)
            assert bool(leaf) == (depth == self.tree.height)
            own = slice(number * LEAF_SLOTS, number * LEAF_SLOTS + count)
            for end, item in zip(arrays.ends[own].tolist(), arrays.items[own].tolist(), strict=True):
                if leaf:
                    entries.append((first, end, bool(item)))
                else:
                    assert visit(item, first, depth + 1) == end
                first = end + 1
            return first - 1

        visit(int(arrays.tree[0]["root"]), 0, 1)
        return entries, slabs


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
            taken = [slab for slab in nodes if slab > 0]
            assert len(taken) == len(set(taken))


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
