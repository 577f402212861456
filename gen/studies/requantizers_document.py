"""The widths of requantizers, and what synthesis makes of them, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ...model.search.widths import BLOCKS, Widths
from ..flow.synth import Resources

__all__ = ["FORMS", "Measured", "markdown"]

# The forms that are synthesized, and what each is.
FORMS = {
    "31 bits": "M of 31 bits, the nearest to Sx * Sw / Sy",
    "equal": "the narrowest M, n and B that give what those 31 bits give",
    "narrow": "the network as it ships",
}

Measured = Mapping[str, Mapping[str, Resources]]  # by target, then by form

INTRODUCTION = """# How wide requantizers must be

What each layer multiplies its accumulators by: with M of 31 bits, as engines carry it that see any
layer, and with the narrowest M that gives the same output on every accumulator that the layer's
weights let it reach. Widths are bits, the sign included where there is one; M has none, and takes
a bit more where a block multiplies signed numbers. One command makes this page, in a quarter of an
hour:

    tercet requantizers -o docs/requantizers.md

`tercet narrow NET` shows one network, and with `-o` writes any network file with the narrowest
multipliers that leave its outputs what they are. How the search works and what it proves is told in
[model/ARITHMETIC.md](../model/ARITHMETIC.md#narrowest-multipliers).

"""

LAYERS = """
## Layer by layer

- **acc**: the accumulator, from the range analysis. **active**: its active range; an accumulator
  clamped into it first gives the same output (`model/requant/active.py`).
- **equal**: the narrowest M that gives every output of 31 bits; here {spread}.
  **unlike**: accumulators on which the network gives something else, since its definition has M of
  fewer bits: a rounding of its own.
- **defined**: M of that definition, the nearest to the factor, 16 bits unless told otherwise.
- **M**: the narrowest M that gives every output of the definition, which is what ships. Where it
  has the definition's bits, the search has shown that none is narrower.
- **checked**: accumulators, all that are reachable, on which M and a wider definition were
  compared: by their thresholds when the network was made and for this page, one by one in the
  tests. Empty where M is the definition.
- **product**: bits of the accumulator times M of 31 bits, and of the clamped one times the
  narrowest. Then the blocks that the two take: {blocks}.
"""

SYNTHESIS = """
## What it saves

The requantizers of a network alone, an addition as a whole, after Yosys, before placement:

{forms}

A carry cell of ECP5 stands for two LUTs, one of 7-series for four bits of a chain. The hardware
multiplies the accumulator as it is; blocks by size above are those of the clamped one.

"""


def markdown(
    layers: Mapping[str, Sequence[Widths]], measured: Mapping[str, Measured], targets: Sequence[str]
) -> str:
    """The document, lines of tables left long.

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
    """How many bits M takes beside the active accumulator's, of what is no addition."""
    single = [layer for found in layers.values() for layer in found if layer.differing is not None]
    apart = [layer.equal - layer.active for layer in single]
    return f"{min(apart):+} to {max(apart):+} beside **active**"


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    for row in (columns, ["---"] * len(columns), *rows):
        yield f"| {' | '.join(map(str, row))} |\n"


def _summary(layers: Mapping[str, Sequence[Widths]]) -> Iterator[str]:
    """A row for each network: the widest numbers, and blocks in all."""
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
