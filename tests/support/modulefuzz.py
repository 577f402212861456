"""Random networks as lists of steps, to be written in PyTorch and in ONNX.

A step reads values by their numbers; value 0 is the image. A map may be flattened, viewed, permuted
and joined in any way; layers that need a map as it was made are mostly drawn where there is one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

IMAGE = (2, 5, 6)  # (C, H, W)
STEPS = (3, 9)  # how many, the closing layers left out
MOST_UPSAMPLED = 400  # values of a map that is made larger
WAYWARD = 0.04  # how often a layer is drawn that cannot read the order of its input


@dataclass(frozen=True)
class Step:
    """One operation.

    op : conv, linear, norm, relu, relu6, leaky, swish, up, max, avg, mean, view, permute, add, cat
    reads : the numbers of the values read
    args : of the operation, such as kernel, stride and groups
    """

    op: str
    reads: tuple[int, ...]
    args: dict[str, Any] = field(default_factory=dict)


@dataclass
class Draft:
    """A list of steps under construction.

    dims : of each value, without the batch
    made : whether each is a map or a vector as a layer makes it, in order
    """

    rng: np.random.Generator
    steps: list[Step] = field(default_factory=list)
    dims: list[tuple[int, ...]] = field(default_factory=lambda: [IMAGE])
    made: list[bool] = field(default_factory=lambda: [True])

    @property
    def last(self) -> int:
        """The number of the newest value."""
        return len(self.dims) - 1

    def add(
        self, op: str, reads: tuple[int, ...], dims: tuple[int, ...], made: bool, **args: Any
    ) -> None:
        """Add a step."""
        self.steps.append(Step(op, reads, args))
        self.dims.append(dims)
        self.made.append(made)

    def windows(self, op: str, x: int, **args: Any) -> None:
        """Add a convolution or pool by a window that fits."""
        channels, height, width = self.dims[x]
        kernel = [int(self.rng.integers(1, min(n, 3) + 1)) for n in (height, width)]
        stride = [int(n) for n in self.rng.integers(1, 3, 2)]
        pad = [int(self.rng.integers(0, k // 2 + 1)) for k in kernel]
        extents = [
            (n + 2 * p - k) // s + 1
            for n, k, s, p in zip((height, width), kernel, stride, pad, strict=True)
        ]
        args |= {"kernel": kernel, "stride": stride, "pad": pad}
        self.add(op, (x,), (args.get("out", channels), *extents), True, **args)

    def conv(self, x: int) -> None:
        """Add a convolution, in groups now and then, with batch norm now and then."""
        channels = self.dims[x][0]
        groups = int(self.rng.choice([1, 1, channels])) if self.made[x] else 1
        out = int(self.rng.integers(1, 5)) * groups
        self.windows("conv", x, out=out, groups=groups)
        if self.rng.random() < 0.3:
            self.add("norm", (self.last,), self.dims[-1], True)

    def linear(self, x: int) -> None:
        """Add a fully connected layer."""
        out = int(self.rng.integers(2, 13))
        self.add("linear", (x,), (out,), True, out=out)

    def view(self, x: int, dims: tuple[int, ...]) -> None:
        """Add a reshape; ``way`` says by which of PyTorch's operators."""
        one = len(dims) == 3 and dims[1:] == (1, 1)
        same = math.prod(self.dims[x][1:]) == math.prod(dims[1:]) == 1 and self.made[x]
        made = one or same or dims == self.dims[x]
        self.add("view", (x,), dims, made, shape=dims, way=int(self.rng.integers(0, 4)))

    def permute(self, x: int) -> None:
        """Add a permutation of the axes behind the batch."""
        axes = [int(axis) for axis in self.rng.permutation(3)]
        dims = tuple(self.dims[x][axis] for axis in axes)
        self.add("permute", (x,), dims, self.made[x] and axes == [0, 1, 2], axes=axes)

    def partner(self, x: int, op: str) -> int | None:
        """Another value that ``x`` can be added to or joined with; None where there is none."""
        rank = len(self.dims[x])
        found = [
            y
            for y in range(1, len(self.dims))
            if len(self.dims[y]) == rank
            and self.dims[y][op == "cat" :] == self.dims[x][op == "cat" :]
            and (self.made[y] == self.made[x] or (op == "cat" and rank == 1))
        ]
        return int(self.rng.choice(found)) if found else None

    def join(self, x: int) -> None:
        """Add an addition or a concatenation, where there is a partner."""
        op = str(self.rng.choice(["add", "cat"]))
        y = self.partner(x, op)
        if y is None or x == 0:
            return
        joined = self.dims[x][0] + self.dims[y][0]
        dims = (joined, *self.dims[x][1:]) if op == "cat" else self.dims[x]
        self.add(op, (x, y), dims, self.made[x] and self.made[y])


def _grow(draft: Draft) -> None:
    """Add a step that can read the newest value, or, once in a while, one that cannot."""
    rng, x = draft.rng, draft.last
    dims, count = draft.dims[x], math.prod(draft.dims[x])
    if len(dims) == 1:
        halves = [n for n in range(1, count + 1) if count % n == 0]
        c = int(rng.choice(halves))
        h = int(rng.choice([n for n in halves if (count // c) % n == 0]))
        choices = ["linear", "linear", "relu", "leaky", "one", "join", "unflatten"]
        pick = str(rng.choice(choices))
        if pick == "unflatten":
            draft.view(x, (c, h, count // c // h))
        elif pick == "one":
            draft.view(x, (count, 1, 1))
        elif pick == "join":
            draft.join(x)
        elif pick in ("relu", "leaky"):
            draft.add(pick, (x,), dims, draft.made[x])
        else:
            draft.linear(x)
        return
    orderly = draft.made[x] or rng.random() < WAYWARD
    layers = ["conv", "conv", "conv", "max", "avg", "mean", "up"] if orderly else []
    curves = ["relu", "relu6", "leaky", "swish"]
    pick = str(rng.choice([*layers, *curves, "flatten", "permute", "view", "join"]))
    if pick == "conv":
        draft.conv(x)
    elif pick in ("max", "avg"):
        draft.windows(pick, x)
    elif pick == "mean":
        draft.add("mean", (x,), (dims[0], 1, 1), True)
    elif pick in curves:
        draft.add(pick, (x,), dims, draft.made[x])
    elif pick == "up" and count <= MOST_UPSAMPLED:
        fy, fx = (int(factor) for factor in rng.integers(1, 4, 2))
        draft.add("up", (x,), (dims[0], dims[1] * fy, dims[2] * fx), True, factor=(fy, fx))
    elif pick == "flatten":
        draft.view(x, (count,))
    elif pick == "permute":
        draft.permute(x)
    elif pick == "join":
        draft.join(x)
    else:
        c, h, w = (dims[axis] for axis in rng.permutation(3))
        draft.view(x, (int(c), int(h), int(w)))


def random_steps(rng: np.random.Generator) -> list[Step]:
    """A random network that ends in scores, or now and then in a map."""
    draft = Draft(rng)
    draft.conv(0)
    for _ in range(int(rng.integers(*STEPS))):
        _grow(draft)
    x = draft.last
    if len(draft.dims[x]) == 3 and rng.random() < 0.8:
        draft.view(x, (math.prod(draft.dims[x]),))
    if len(draft.dims[-1]) == 1 and rng.random() < 0.9:
        draft.linear(draft.last)
    return draft.steps
