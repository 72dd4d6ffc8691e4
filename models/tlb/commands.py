"""The command ``tlb``: the exact model on a trace; presets and their confidence."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

if TYPE_CHECKING:
    from models.machine.tlb import TlbPreset
    from models.tlb.replay import Replay

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="What translation costs on a trace.",
)

PresetOption = Annotated[
    str, typer.Option("--tlb", metavar="PRESET|FILE", help="A preset's name, or a YAML file.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.callback()
def _root() -> None:
    """Take no options before the command."""


@app.command()
def trace(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="uint64 addresses, Valgrind lackey or DynamoRIO text; - is a pipe.")
    ],
    tlb: PresetOption = "zen5",
    tiling: Annotated[
        str,
        typer.Option("--tiling", metavar="SIZE[:SHARE]", help="4K, 2M or 1G; 2M:30% has 30 % of it at 4K."),
    ] = "4K",
    format_: Annotated[
        Optional[str],  # noqa: UP045 - Typer evaluates it
        typer.Option(
            "--format", metavar="NAME", help="uint64, lackey or drmemtrace; found out if not given."
        ),
    ] = None,
    host_page: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--host-page", metavar="SIZE", help="In a virtual machine: how the host maps it."),
    ] = None,
    flush_every: Annotated[
        int, typer.Option("--flush-every", min=0, help="Accesses between full flushes.")
    ] = 0,
    coalesce: Annotated[
        bool, typer.Option("--coalesce/--no-coalesce", help="Let 4K entries coalesce.")
    ] = True,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the tiling and of random replacement.")] = 0,
    json: JsonOption = False,
) -> None:
    """Run the exact model alone on an address trace."""
    from models.machine.tlb import load_tlb  # noqa: PLC0415
    from models.tlb.hierarchy import SIZES, Hierarchy  # noqa: PLC0415
    from models.tlb.replay import TraceTiling, replay  # noqa: PLC0415
    from models.tlb.trace import FORMATS, read_pages  # noqa: PLC0415

    kind = _choice(format_, FORMATS, "--format")
    host = _choice(host_page, SIZES, "--host-page")
    preset = load_tlb(tlb)
    hierarchy = Hierarchy.from_preset(preset, host_page=host, coalesce=coalesce)
    sizes = TraceTiling.parse(tiling, seed)
    done = replay(hierarchy, read_pages(file, kind), sizes, flush_every=flush_every, seed=seed)
    if json:
        typer.echo(
            json_format.dumps(
                {"trace": str(file), "tlb": preset.name, "tiling": tiling, **done.to_json()}, indent=2
            )
        )
        return
    _print(done, preset, tiling)


@app.command()
def show(tlb: PresetOption = "zen5", json: JsonOption = False) -> None:
    """Show a preset: each value with its confidence and where it comes from."""
    from models.machine.tlb import load_tlb  # noqa: PLC0415
    from simcore.tables import print_table  # noqa: PLC0415

    preset = load_tlb(tlb)
    rows = preset.confidence_table()
    if json:
        names = ("key", "value", "confidence", "source")
        table = [dict(zip(names, row, strict=True)) for row in rows]
        typer.echo(json_format.dumps({"tlb": preset.name, "note": preset.note, "values": table}, indent=2))
        return
    typer.echo(f"{preset.name}" + (f": {preset.note}" if preset.note else ""))
    print_table(("value", "", "confidence", "source"), rows)


def _choice(given: str | None, valid: tuple[Any, ...], option: str) -> Any:
    if given is None:
        return None
    for name in valid:
        if name.casefold() == given.casefold():
            return name
    from simcore.errors import ConfigError, nearest_name  # noqa: PLC0415

    raise ConfigError(
        f"no {option[2:].replace('-', ' ')} {given!r}", key=option, expected=", ".join(valid),
        nearest=nearest_name(given, valid),
    )  # fmt: skip


def _print(done: Replay, preset: TlbPreset, tiling: str) -> None:
    from models.tlb.hierarchy import SIZES  # noqa: PLC0415
    from simcore.tables import print_table  # noqa: PLC0415

    counts = done.counts
    rows: list[tuple[str, int, int, int, int]] = []
    for code, size in enumerate(SIZES):
        if done.accesses_by_size[code]:
            rows.append(
                (
                    size,
                    done.accesses_by_size[code],
                    counts.l1_hits[code],
                    counts.l2_hits[code],
                    counts.walks[code],
                )
            )
    rows.append(("all", counts.accesses, sum(counts.l1_hits), sum(counts.l2_hits), sum(counts.walks)))
    typer.echo(f"{preset.name}, tiling {tiling}: {done.touched_pages:,} pages touched")
    print_table(
        ("mapped as", "accesses", "L1 hits", "L2 hits", "walks", "walks per 1000"),
        [
            (size, *(f"{n:,}" for n in numbers), f"{1000 * numbers[-1] / numbers[0]:.3f}")
            for size, *numbers in rows
        ],
    )
    walks = sum(counts.walks)
    typer.echo(
        f"table entries read: {counts.walk_references:,}"
        + (f", {counts.walk_references / walks:.2f} a walk" if walks else "")
    )
    shares = preset.confidence_shares()
    typer.echo(
        "preset values: "
        + ", ".join(f"{number} {word}" for word, number in shares.items())
        + f" (simcore tlb show --tlb {preset.name})"
    )
