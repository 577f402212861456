"""The widths of requantizers and their cells after synthesis, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ...model.search.widths import BLOCKS, Widths
from ..flow.synth import Resources

__all__ = ["FORMS", "Measured", "markdown"]

# The synthesized forms, each with its description.
FORMS = {
    "31 bits": "M of 31 bits, the nearest to Sx * Sw / Sy",
    "equal": "the narrowest M, n and B with the same outputs as those 31 bits",
    "narrow": "the network as it ships",
}

Measured = Mapping[str, Mapping[str, Resources]]  # by target, then by form

INTRODUCTION = """# How wide requantizers must be

This page gives the width of each layer's multiplier M: with M of 31 bits, as in engines that must
serve any layer, and with the narrowest M that gives the same output on every accumulator that the
layer's weights allow. Widths are in bits. Signed numbers include the sign. M is unsigned and takes
one more bit if a block multiplies signed numbers. One command makes this page, in a quarter of an
hour:

    tercet requantizers -o docs/requantizers.md

`tercet narrow NET` shows one network. With `-o` it writes a network file with the narrowest
multipliers that keep all outputs. The search and what it proves are described in
[model/ARITHMETIC.md](../model/ARITHMETIC.md#narrowest-multipliers).

"""

LAYERS = """
## Layer by layer

- **acc**: the accumulator, from the range analysis. **active**: its active range; an accumulator
  that is first clamped to it gives the same output (`model/requant/active.py`).
- **equal**: the narrowest M that gives the same outputs as M of 31 bits; here {spread}.
  **unlike**: accumulators on which the network's output differs from that, because its definition
  has an M of fewer bits, which rounds differently.
- **defined**: M of that definition, the nearest to the factor, by default 16 bits.
- **M**: the narrowest M that gives the same outputs as the definition; the network ships with it.
  If it has as many bits as the definition, the search has shown that none is narrower.
- **checked**: the accumulators, all reachable ones, on which M was compared with a wider
  definition: by thresholds when the network was made and for this page, one by one in the tests.
  Empty if M is the definition.
- **product**: bits of the accumulator times M of 31 bits, and of the clamped accumulator times the
  narrowest M. The last columns give the multiplier blocks that the two take: {blocks}.
"""

SYNTHESIS = """
## What it saves

The cells of a network's requantizers alone (of an addition as a whole), after Yosys, before
placement:

{forms}

A carry cell of ECP5 corresponds to two LUTs, one of 7-series to four bits of a carry chain. The
hardware clamps each accumulator to the bits of its active range and then multiplies it
(`hw/operand.py`). It does not clamp the inputs of additions and concatenations.

"""


def markdown(
    layers: Mapping[str, Sequence[Widths]], measured: Mapping[str, Measured], targets: Sequence[str]
) -> str:
    """The document; table lines are not wrapped.

    Parameters
    ----------
    layers : by network
    measured : by network
    targets : in the order of the tables
    """
    blocks = ", ".join(f"{block} ({where})" for block, where in BLOCKS.items())
    forms = "\n".join(f"- **{form}**: {what}." for form, what in FORMS.items())
    parts = [INTRODUCTION, *_summary(layers)]
    parts += [LAYERS.format(spread=_spread(layers), blocks=blocks), *_layers(layers)]
    parts += [SYNTHESIS.format(forms=forms), *_cells(measured, targets)]
    return "".join(parts)


def _spread(layers: Mapping[str, Sequence[Widths]]) -> str:
    """The bits of M minus those of the active range, least to greatest; without additions."""
    single = [layer for found in layers.values() for layer in found if layer.differing is not None]
    apart = [layer.equal - layer.active for layer in single]
    return f"{min(apart):+} to {max(apart):+} bits relative to **active**"


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    for row in (columns, ["---"] * len(columns), *rows):
        yield f"| {' | '.join(map(str, row))} |\n"


def _summary(layers: Mapping[str, Sequence[Widths]]) -> Iterator[str]:
    """A row for each network: the widest numbers, and the total of blocks."""
    columns = ["network", "requantizers", "M", "widest product", *(f"{b} blocks" for b in BLOCKS)]
    yield from _table(columns, (_summary_row(name, found) for name, found in layers.items()))


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


def _layers(layers: Mapping[str, Sequence[Widths]]) -> Iterator[str]:
    for name, found in layers.items():
        yield f"\n### {name}\n\n"
        columns = ["layer", "acc", "active", "equal", "unlike", "defined", "M", "checked"]
        columns += ["product", *BLOCKS]
        yield from _table(columns, map(_layer_row, found))


def _layer_row(layer: Widths) -> list[str]:
    return [
        *(f"`{layer.layer}`", str(layer.accumulator), str(layer.active), str(layer.equal)),
        "" if layer.differing is None else f"{layer.differing:,} of {layer.reachable:,}",
        *(str(layer.defined), str(layer.narrow)),
        f"{layer.checked:,}" if layer.checked else "",
        _arrow(*layer.products),
        *(_arrow(*layer.blocks(block)) for block in BLOCKS),
    ]


def _cells(measured: Mapping[str, Measured], targets: Sequence[str]) -> Iterator[str]:
    kinds = {"LUTs": "luts", "carries": "carries", "FFs": "flip_flops", "DSPs": "dsps"}
    columns = ["network", *(f"{name}: {', '.join(FORMS)}" for name in kinds)]
    for number, target in enumerate(targets):
        yield f"{'' if number == 0 else chr(10)}### {target}\n\n"
        rows = (
            [f"`{network}`", *(_counts(found[target], kind) for kind in kinds.values())]
            for network, found in measured.items()
        )
        yield from _table(columns, rows)


def _counts(found: Mapping[str, Resources], kind: str) -> str:
    return ", ".join(str(found[form].facts()[kind]) for form in FORMS)
