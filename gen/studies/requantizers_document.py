"""The widths of requantizers and their cells after synthesis, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...model.search.widths import BLOCKS, Widths
from ...model.studies.document import filled, table
from ...model.studies.rows import Facts

__all__ = ["FORMS", "Measured", "markdown"]

TEMPLATE = Path(__file__).with_name("requantizers.md")
FORMS = ("31 bits", "equal", "narrow")  # the synthesized forms; the template describes them

Measured = Mapping[str, Mapping[str, Facts]]  # by target, then by form


def markdown(
    layers: Mapping[str, Sequence[Widths]], measured: Mapping[str, Measured], targets: Sequence[str]
) -> str:
    """The document, from rows by network; the tables of cells are in the order of ``targets``."""
    return filled(
        TEMPLATE,
        summary=_summary(layers),
        spread=_spread(layers),
        blocks=", ".join(f"{block} ({where})" for block, where in BLOCKS.items()),
        layers=_layers(layers),
        cells=_cells(measured, targets),
    )


def _spread(layers: Mapping[str, Sequence[Widths]]) -> str:
    """The bits of M minus those of the active range, least to greatest; without additions."""
    single = [layer for found in layers.values() for layer in found if layer.differing is not None]
    apart = [layer.equal - layer.active for layer in single]
    return f"{min(apart):+} to {max(apart):+} bits relative to **active**"


def _summary(layers: Mapping[str, Sequence[Widths]]) -> str:
    """A row for each network: the widest numbers, and the total of blocks."""
    columns = ["network", "requantizers", "M", "widest product", *(f"{b} blocks" for b in BLOCKS)]
    return table(columns, (_summary_row(name, found) for name, found in layers.items()))


def _summary_row(name: str, found: Sequence[Widths]) -> list[str]:
    narrow = sorted({layer.narrow for layer in found})
    products = (max(layer.products[form] for layer in found) for form in (0, 1))
    counts = [[sum(layer.blocks(b)[form] for layer in found) for form in (0, 1)] for b in BLOCKS]
    return [
        *(
            f"`{name}`",
            str(len(found)),
            f"31 to {narrow[0]}" + f"-{narrow[-1]}" * (len(narrow) > 1),
        ),
        *(_arrow(*products), *(_arrow(*count) for count in counts)),
    ]


def _arrow(before: int, after: int) -> str:
    return f"{before} to {after}"


def _layers(layers: Mapping[str, Sequence[Widths]]) -> str:
    columns = ["layer", "acc", "active", "equal", "unlike", "defined", "M", "checked"]
    columns += ["product", *BLOCKS]
    return "\n".join(
        f"### {name}\n\n{table(columns, map(_layer_row, found))}" for name, found in layers.items()
    )


def _layer_row(layer: Widths) -> list[str]:
    return [
        *(f"`{layer.layer}`", str(layer.accumulator), str(layer.active), str(layer.equal)),
        "" if layer.differing is None else f"{layer.differing:,} of {layer.reachable:,}",
        *(str(layer.defined), str(layer.narrow)),
        f"{layer.checked:,}" if layer.checked else "",
        _arrow(*layer.products),
        *(_arrow(*layer.blocks(block)) for block in BLOCKS),
    ]


def _cells(measured: Mapping[str, Measured], targets: Sequence[str]) -> str:
    kinds = {"LUTs": "luts", "carries": "carries", "FFs": "flip_flops", "DSPs": "dsps"}
    columns = ["network", *(f"{name}: {', '.join(FORMS)}" for name in kinds)]
    sections = []
    for target in targets:
        rows = (
            [
                f"`{network}`",
                *(", ".join(str(found[target][f][kind]) for f in FORMS) for kind in kinds.values()),
            ]
            for network, found in measured.items()
        )
        sections.append(f"### {target}\n\n{table(columns, rows)}")
    return "\n".join(sections)
