"""The map of memory as an animation: GIF by Pillow, and MP4 when there is an ``ffmpeg``."""

from __future__ import annotations

import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from models.views.map_history import LEVEL_MASK, REGION_BYTES, Codes
from models.views.memory_map import COLOURS, MARKS, MAX_CELLS, map_image, moments_of, the_history
from simcore.errors import OutputError
from simcore.result import Result
from simcore.run_directory import write_atomically
from simcore.units import format_bytes, format_ns

__all__ = ["animate_map"]

FRAMES = 60
_FRAME_MS = 100
_LAST_MS = 2000
_CAPTION_PIXELS = 40


def animate_map(result: Result, directory: Path, frames: int = FRAMES) -> list[Path]:
    """Write ``map.gif``, and ``map.mp4`` if ffmpeg is there; return what was written.

    Args:
        result: a run.
        directory: where.
        frames: how many pictures, evenly spaced over the run.

    Raises:
        SimcoreError: the run left no map, the disk refuses, or ffmpeg fails.
    """
    history = the_history(result)
    moments = moments_of(history, frames)
    pictures = [
        _frame(state, f"{result.name}   {format_ns(moment)}")
        for moment, state in zip(moments, history.over(moments), strict=True)
    ]
    content = BytesIO()
    pictures[0].save(
        content, "GIF", save_all=True, append_images=pictures[1:], loop=0,
        duration=[_FRAME_MS] * (len(pictures) - 1) + [_LAST_MS],
    )  # fmt: skip
    path = directory / "map.gif"
    write_atomically(path, content.getvalue())
    written = [path]
    if ffmpeg := shutil.which("ffmpeg"):
        film = directory / "map.mp4"
        write_atomically(film, lambda temporary: _encode(ffmpeg, pictures, temporary))
        written.append(film)
    return written


def _frame(state: Codes, title: str) -> Image.Image:
    image = map_image(state, MAX_CELLS // 4)
    height, width = image.shape[:2]
    canvas: NDArray[np.uint8] = np.full((height + _CAPTION_PIXELS, width, 3), 255, np.uint8)
    canvas[_CAPTION_PIXELS:] = image
    picture = Image.fromarray(canvas)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
    draw.text((4, 2), title, fill="black", font=font)
    at = 4
    counts = np.bincount(state & LEVEL_MASK, minlength=4).tolist()
    sizes = ((3, "1G"), (2, "2M"), (1, "4K"))
    entries = [(COLOURS[level], f"{name} {format_bytes(counts[level] * REGION_BYTES)}") for level, name in sizes]
    for colour, label in [*entries, (MARKS[0], "secret"), (MARKS[1], "unmapped")]:
        draw.rectangle((at, 23, at + 12, 35), fill=colour)
        draw.text((at + 17, 20), label, fill="black", font=font)
        at += 30 + int(draw.textlength(label, font=font))
    # One palette of few colours for all pictures: small files, and no flicker.
    return picture.quantize(64, dither=Image.Dither.NONE)


def _encode(ffmpeg: str, pictures: list[Image.Image], path: Path) -> None:
    rgb = [picture.convert("RGB") for picture in pictures]
    width, height = rgb[0].size
    command = [
        ffmpeg, "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}",
        "-r", str(1000 // _FRAME_MS), "-i", "-", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2",
        "-pix_fmt", "yuv420p", "-f", "mp4", str(path),
    ]  # fmt: skip
    film = b"".join(picture.tobytes() for picture in rgb)
    done = subprocess.run(command, input=film, capture_output=True, check=False)
    if done.returncode:
        raise OutputError(f"{path}: ffmpeg failed: {done.stderr.decode(errors='replace').strip()}")
