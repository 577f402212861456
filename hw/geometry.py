"""The numbers of a patch engine, from the shape of its layer: no hardware yet, and no network."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PatchGeometry"]


@dataclass(frozen=True, kw_only=True)
class PatchGeometry:
    """A convolution whose kernel equals its stride, without padding or dilation.

    Parameters
    ----------
    height, width, in_channels : of the input map
    kernel : (KH, KW); also the stride
    out_channels : OC
    groups : divides in_channels and out_channels
    lanes : P, output channels multiplied at once, 1 to the output channels of a group

    Raises ValueError where a number breaks its rule.
    """

    height: int
    width: int
    in_channels: int
    kernel: tuple[int, int]
    out_channels: int
    groups: int = 1
    lanes: int = 1

    def __post_init__(self) -> None:
        for name in ("height", "width", "in_channels", "out_channels", "groups", "lanes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be a positive integer, not {getattr(self, name)}")
        if not (1 <= self.kernel[0] <= self.height and 1 <= self.kernel[1] <= self.width):
            raise ValueError(
                f"kernel must be at least 1x1 and fit the {self.height}x{self.width} map, "
                f"not {self.kernel[0]}x{self.kernel[1]}"
            )
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"groups must divide {self.in_channels} input and {self.out_channels} output "
                f"channels, not {self.groups}"
            )
        if self.lanes > self.out_channels // self.groups:
            raise ValueError(
                f"lanes must be at most the {self.out_channels // self.groups} output channels "
                f"of a group, not {self.lanes}"
            )

    @classmethod
    def depthwise(
        cls, *, height: int, width: int, channels: int, kernel: tuple[int, int]
    ) -> PatchGeometry:
        """One output channel for each input channel, as a pool has it."""
        return cls(
            height=height,
            width=width,
            in_channels=channels,
            kernel=kernel,
            out_channels=channels,
            groups=channels,
        )

    @property
    def rows(self) -> int:
        """OH: patches down the map."""
        return self.height // self.kernel[0]

    @property
    def columns(self) -> int:
        """OW: patches across the map."""
        return self.width // self.kernel[1]

    @property
    def tail_rows(self) -> int:
        """Input rows below the last patch; they are dropped."""
        return self.height % self.kernel[0]

    @property
    def tail_columns(self) -> int:
        """Input columns right of the last patch; they are dropped."""
        return self.width % self.kernel[1]

    @property
    def channels_per_group(self) -> int:
        """Input channels of one group."""
        return self.in_channels // self.groups

    @property
    def slots(self) -> int:
        """Cycles that an activation is multiplied for: its group's output channels over P."""
        return -(-(self.out_channels // self.groups) // self.lanes)

    @property
    def last_lanes(self) -> int:
        """Lanes in use in the last slot; P where P divides a group's output channels."""
        return self.out_channels // self.groups - (self.slots - 1) * self.lanes

    @property
    def outputs(self) -> int:
        """Slots of all groups: beats that carry one position's results."""
        return self.groups * self.slots

    @property
    def row_steps(self) -> int:
        """Weight rows used in one kernel row of a patch."""
        return self.kernel[1] * self.in_channels * self.slots

    @property
    def weight_depth(self) -> int:
        """Rows of the weight ROM."""
        return self.kernel[0] * self.row_steps

    @property
    def partial_sums(self) -> int:
        """Entries of the partial sums: one for each slot of each patch that is open at once, of
        which there is a row, or a single one where a patch lies in one row of pixels."""
        return self.outputs * (self.columns if self.kernel[0] > 1 else 1)

    @property
    def rotation(self) -> int:
        """Steps from one use of a partial sum to its next in the same group and row of pixels: the
        sums in between take turns. Where a row of a patch uses each only once, all take turns."""
        if self.kernel[1] == self.channels_per_group == 1:
            return self.partial_sums
        return self.slots if self.channels_per_group > 1 else self.outputs

    @property
    def recent(self) -> int:
        """Sums kept in registers, those stored last, since a memory could not give them in time:
        all that take turns where they are one or two; else none."""
        return self.rotation if self.rotation <= 2 else 0

    @property
    def apart(self) -> int:
        """The fewest steps from storing a partial sum to its next use from the memory."""
        group_steps = self.channels_per_group * self.slots
        pixel = (self.groups - 1) * group_steps + self.slots  # last channel to the first again
        row = self.columns * self.row_steps
        row -= (self.kernel[1] - 1) * self.groups * group_steps + group_steps - self.slots
        row += self.tail_columns * self.in_channels
        steps = [row] if self.kernel[0] > 1 else []
        steps += [] if self.recent else [self.rotation]
        if self.groups > 1 and self.channels_per_group > 1 and self.kernel[1] > 1:
            steps.append(pixel)
        return min(steps, default=self.rotation)

    @property
    def busy_cycles(self) -> int:
        """Cycles an image takes when neither side ever waits: slots for each activation of a patch,
        one for each that is dropped."""
        used = self.rows * self.columns * self.kernel[0] * self.kernel[1] * self.in_channels
        return used * (self.slots - 1) + self.height * self.width * self.in_channels
