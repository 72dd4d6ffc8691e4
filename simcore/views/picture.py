"""Figures that can be shown and saved: without pyplot, whole or not at all, readable without colour vision."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from simcore.run_directory import write_atomically

__all__ = ["PALETTE", "Picture", "finish", "plain", "save"]

#: Okabe and Ito's colours, which readers with any colour vision tell apart ("Color Universal Design", 2008);
#: ordered so that neighbours differ in lightness too.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#56B4E9", "#D55E00", "#F0E442", "#CC79A7", "#000000")

_DOTS_PER_INCH = 150


class Picture(Figure):
    """A figure that notebooks show without pyplot, and so without global state."""

    def __init__(self, width_inches: float, height_inches: float) -> None:
        super().__init__(figsize=(width_inches, height_inches), layout="constrained")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        content = BytesIO()
        self.savefig(content, format="png", dpi=_DOTS_PER_INCH)
        return content.getvalue()


def save(figure: Figure, path: Path | str) -> Path:
    """Write a figure under a temporary name and rename it; the suffix says the format.

    Raises:
        OutputError: The disk refuses.
    """
    path = Path(path)
    suffix = path.suffix.lstrip(".") or "png"

    def write(temporary: Path) -> None:
        # No date inside, so that the same run gives the same file.
        metadata = {"Date": None} if suffix in {"svg", "pdf"} else None
        figure.savefig(temporary, format=suffix, dpi=_DOTS_PER_INCH, metadata=metadata)

    write_atomically(path, write)
    return path


def finish(picture: Figure, title: str, path: Path | str | None) -> None:
    """Write a title above a figure, if there is one, and save it, if there is a path."""
    if title:
        picture.suptitle(plain([title])[0], fontsize=11)
    if path is not None:
        save(picture, path)


def plain(texts: Sequence[str]) -> list[str]:
    """Escape what Matplotlib would read as mathematics."""
    return [text.replace("$", r"\$") for text in texts]
