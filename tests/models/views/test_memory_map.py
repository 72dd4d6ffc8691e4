"""Pictures of the map: right colours in right places, bounded for the largest machines, files for every option."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.views.hilbert import hilbert_image
from models.views.map_history import LEVEL_MASK, SECRET, MapHistory
from models.views.memory_map import COLOURS, MARKS, draw_map, map_image, memory_map
from simcore.errors import SimcoreError
from tests.models.views.direct_map_runs import fork_bomb


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))


def test_each_cell_has_the_colour_of_its_level() -> None:
    """The picture is the state: the middle of a cell without mark shows its entry's size."""
    state = np.array([3] * 1024 + [2] * 512 + [1] * 256 + [0] * 256, np.uint8)
    places, image = hilbert_image(len(state)), map_image(state)
    side = image.shape[0] // places.shape[0]
    middles = image[side // 2 :: side, side // 2 :: side]
    for level in range(4):
        found = {tuple(pixel) for pixel in middles[np.isin(places, np.flatnonzero(state == level))].tolist()}
        assert found == {rgb(COLOURS[level])}


def test_marks_lie_inside_their_cells() -> None:
    """A mark must not hide what size the entry is."""
    state = np.full(64, 2, np.uint8)
    state[5] |= SECRET
    state[9] |= 1 << 2
    places, image = hilbert_image(64), map_image(state)
    side = image.shape[0] // places.shape[0]
    for cell, colour in ((5, MARKS[0]), (9, MARKS[1])):
        (down, right), *_ = np.argwhere(places == cell).tolist()
        tile = image[down * side : (down + 1) * side, right * side : (right + 1) * side]
        assert tuple(tile[side // 2, side // 2].tolist()) == rgb(colour)
        assert tuple(tile[side - 1, side - 1].tolist()) == rgb(COLOURS[2])


def test_a_single_split_shows_on_a_machine_of_16_tib() -> None:
    """Coarse cells blend, yet never down to nothing."""
    state = np.full((16 << 40) // (2 << 20), 3, np.uint8)
    plain = map_image(state)
    state[4_000_000] = 1
    assert np.count_nonzero(np.any(map_image(state) != plain, axis=2)) > 0


def test_the_curves_colours_differ_in_lightness_too() -> None:
    """Black and white print must keep the sizes apart."""
    lightness = [0.299 * red + 0.587 * green + 0.114 * blue for red, green, blue in map(rgb, COLOURS[1:])]
    assert min(abs(a - b) for a in lightness for b in lightness if a != b) > 20


def test_moments_and_animation_are_written(tmp_path: Path) -> None:
    """Each way to ask for a map leaves a picture that opens."""
    result = fork_bomb()
    end_ns = int(result.summary["simulated_ns"])
    for paths in (draw_map(result, tmp_path), draw_map(result, tmp_path, at_ns=end_ns // 2)):
        assert [path.suffix for path in paths] == [".png"]
        with Image.open(paths[0]) as picture:
            assert min(picture.size) > 200
    film, *rest = draw_map(result, tmp_path, animate=True)
    with Image.open(film) as picture:
        assert picture.format == "GIF"
        assert picture.n_frames > 10  # type: ignore[attr-defined]
    assert all(path.suffix == ".mp4" and path.stat().st_size for path in rest)


def test_a_moment_outside_of_the_run_is_refused() -> None:
    """A typing error in a time must not give the picture of another one."""
    result = fork_bomb()
    with pytest.raises(SimcoreError, match="the run lasted"):
        memory_map(result, int(result.summary["simulated_ns"]) + 1)


_LARGEST = """
from pathlib import Path
import numpy as np, pyarrow as pa
from models.views.memory_map import memory_map
from simcore.result import Result
from simcore.series import Series
regions = (16 << 40) // (2 << 20)
changes = 4_000_000
random = np.random.default_rng(1)
start = pa.table({"first": [0], "regions": [regions], "level": [2]})
table = pa.table({
    "time_ns": np.arange(changes), "region": random.integers(0, regions, changes, np.int32),
    "level": np.ones(changes, np.int8), "absent": np.ones(changes, np.int8),
    "secret": np.ones(changes, bool), "giga": np.zeros(changes, bool),
})
result = Result(Series(pa.table({"time_ns": np.arange(1)})), {"name": "largest", "simulated_ns": changes}, {}, {},
                {"map_start": start, "map_changes": table})
memory_map(result, changes, "map.png")
# Not ru_maxrss: that of a child starts at what its parent held.
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


def test_a_map_of_16_tib_stays_below_1_gib(tmp_path: Path) -> None:
    """The largest machine, half of it changed, must be drawn in the memory that a laptop has to spare."""
    environment = {"PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, "-c", _LARGEST], cwd=tmp_path, check=True, env=environment, capture_output=True, text=True
    )
    assert int(done.stdout) * 1024 < 1 << 30
    with Image.open(tmp_path / "map.png") as picture:
        assert min(picture.size) > 300


def test_levels_are_those_of_the_history() -> None:
    """The masks of pictures and histories are one; a change of one alone would repaint the map."""
    history = MapHistory.of(fork_bomb())
    assert history is not None
    assert set((history.start & LEVEL_MASK).tolist()) <= set(range(len(COLOURS)))
