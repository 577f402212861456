"""The numbers of a patch engine, from the shape of its layer; no hardware and no network."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PatchGeometry"]

NUMBERS = (
    *("height", "width", "in_channels", "out_channels"),
    *("groups", "pe", "pixels", "channels_at_once"),
)


@dataclass(frozen=True, kw_only=True)
class PatchGeometry:
    """A convolution whose kernel equals its stride, without padding or dilation.

    Parameters
    ----------
    height, width, in_channels : shape of the input map
    kernel : (KH, KW); also the stride
    out_channels : OC
    groups : divides in_channels and out_channels
    pe : P, output channels multiplied at once, 1 to the output channels of a group
    pixels : pixels of a row in a beat: a part of a kernel's row, whole adjacent kernels, or the
        whole row
    channels_at_once : channels of each of these pixels: a part of a group or whole groups; all
        channels if there are several pixels and the beats are those of a map in raster order

    The products of a beat that belong to one sum are its **terms**. The groups and patches to whose
    sums a beat contributes are its **cells**. Several cells have P sums each and a single slot. An
    engine has P * S multipliers, with S = cells * terms.

    Raises ValueError if a number breaks its rule.
    """

    height: int
    width: int
    in_channels: int
    kernel: tuple[int, int]
    out_channels: int
    groups: int = 1
    pe: int = 1
    pixels: int = 1
    channels_at_once: int = 1

    def __post_init__(self) -> None:
        for name in NUMBERS:
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
        if self.pe > self.out_channels // self.groups:
            raise ValueError(
                f"pe must be at most the {self.out_channels // self.groups} output channels "
                f"of a group, not {self.pe}"
            )
        self._check_beat()

    def _check_beat(self) -> None:
        """Check the pixels and channels of a beat. Raises ValueError."""
        group = self.channels_per_group
        whole = (
            self.channels_at_once % group == 0
            and self.groups % (self.channels_at_once // group) == 0
        )
        if not (whole or group % self.channels_at_once == 0):
            raise ValueError(
                f"channels_at_once must divide the {group} of a group, or be those of whole groups "
                f"that divide the {self.groups}, not {self.channels_at_once}"
            )
        kernel = self.kernel[1]
        patches = self.pixels % kernel == 0 and self.columns % (self.pixels // kernel) == 0
        if not (patches or kernel % self.pixels == 0 or self.pixels == self.width):
            raise ValueError(
                f"pixels must divide the {kernel} of a kernel's row, be those of whole patches "
                f"that divide the {self.columns} of a row, or the {self.width} of a row, not "
                f"{self.pixels}"
            )
        if self.column_cells > 1 and self.channels_at_once != self.in_channels:
            raise ValueError(
                f"channels_at_once must be all {self.in_channels} where pixels are those of "
                f"several patches, not {self.channels_at_once}"
            )
        if self.cells > 1 and self.slots > 1:
            raise ValueError(
                f"pe must be the {self.out_channels // self.groups} output channels of a group "
                f"where sums of {self.cells} cells are made at once, not {self.pe}"
            )

    @classmethod
    def depthwise(
        cls,
        *,
        height: int,
        width: int,
        channels: int,
        kernel: tuple[int, int],
        channels_at_once: int = 1,
    ) -> PatchGeometry:
        """One output channel for each input channel, as in a pool."""
        return cls(
            height=height,
            width=width,
            in_channels=channels,
            kernel=kernel,
            out_channels=channels,
            groups=channels,
            channels_at_once=channels_at_once,
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
    def row_beats(self) -> int:
        """Beats across the map, counting the parts of a pixel as one.

        The last beat may have pixels beyond the row.
        """
        return -(-self.width // self.pixels)

    @property
    def taps(self) -> int:
        """Pixels of a patch in a beat."""
        return min(self.pixels, self.kernel[1])

    @property
    def kx_steps(self) -> int:
        """Beats of a kernel's row, counting the parts of a pixel as one."""
        return self.kernel[1] // self.taps

    @property
    def column_cells(self) -> int:
        """Adjacent patches in a beat."""
        return max(1, self.pixels // self.kernel[1])

    @property
    def column_steps(self) -> int:
        """Patches across the map, counting the patches of a beat as one."""
        return self.columns // self.column_cells

    @property
    def tail_steps(self) -> int:
        """Beats right of the last patch, dropped; the parts of a pixel count as one."""
        return self.row_beats - self.column_steps * self.kx_steps

    @property
    def group_cells(self) -> int:
        """Groups in a beat."""
        return max(1, self.channels_at_once // self.channels_per_group)

    @property
    def group_steps(self) -> int:
        """Number of groups, counting the groups of a beat as one."""
        return self.groups // self.group_cells

    @property
    def channel_steps(self) -> int:
        """Beats of one group's channels of a pixel."""
        return max(1, self.channels_per_group // self.channels_at_once)

    @property
    def pixel_steps(self) -> int:
        """Beats of a pixel."""
        return self.in_channels // self.channels_at_once

    @property
    def cells(self) -> int:
        """Groups and patches to whose sums a beat contributes."""
        return self.column_cells * self.group_cells

    @property
    def terms(self) -> int:
        """Products that are added to a sum at once."""
        return self.taps * min(self.channels_at_once, self.channels_per_group)

    @property
    def sums(self) -> int:
        """Sums that are made at once: P for each cell."""
        return self.cells * self.pe

    @property
    def multipliers(self) -> int:
        """Number of multipliers: P * S."""
        return self.sums * self.terms

    @property
    def channels_per_group(self) -> int:
        """Input channels of one group."""
        return self.in_channels // self.groups

    @property
    def slots(self) -> int:
        """Cycles to multiply a beat: its group's output channels over P, rounded up."""
        return -(-(self.out_channels // self.groups) // self.pe)

    @property
    def last_pe(self) -> int:
        """Output channels in the last slot; P if P divides a group's output channels."""
        return self.out_channels // self.groups - (self.slots - 1) * self.pe

    @property
    def outputs(self) -> int:
        """Slots of all groups: beats that carry the results of one position."""
        return self.group_steps * self.slots

    @property
    def row_steps(self) -> int:
        """Weight rows used in one kernel row of a patch."""
        return self.kx_steps * self.pixel_steps * self.slots

    @property
    def weight_depth(self) -> int:
        """Rows of the weight ROM."""
        return self.kernel[0] * self.row_steps

    @property
    def partial_sums(self) -> int:
        """Number of partial sums: one entry for each slot of each patch that is open at once.

        The open patches are a row of them, or a single one if a patch lies in one row of pixels.
        """
        return self.outputs * (self.column_steps if self.kernel[0] > 1 else 1)

    @property
    def beats(self) -> int:
        """Beats of an image."""
        return self.height * self.row_beats * self.pixel_steps

    @property
    def rotation(self) -> int:
        """Steps from one use of a partial sum to its next in the same group and row of pixels.

        The sums in between take turns. If each is used only once in a row of a patch, all take
        turns.
        """
        if self.kx_steps == self.channel_steps == 1:
            return self.partial_sums
        return self.slots if self.channel_steps > 1 else self.outputs

    @property
    def recent(self) -> int:
        """Number of the most recent sums that are kept in registers.

        These are all that take turns if they are one or two, because a memory would be too slow for
        them; otherwise there are none.
        """
        return self.rotation if self.rotation <= 2 else 0

    @property
    def apart(self) -> int:
        """The fewest steps from storing a partial sum to its next use from the memory."""
        group = self.channel_steps * self.slots
        pixel = (self.group_steps - 1) * group + self.slots  # last channel back to the first
        row = self.column_steps * self.row_steps
        row -= (self.kx_steps - 1) * self.group_steps * group + group - self.slots
        row += self.tail_steps * self.pixel_steps
        steps = [row] if self.kernel[0] > 1 else []
        once = self.kx_steps == self.channel_steps == 1  # each used once in a row of a patch
        steps += [] if self.recent or once else [self.rotation]
        if self.group_steps > 1 and self.channel_steps > 1 and self.kx_steps > 1:
            steps.append(pixel)
        return min(steps, default=self.rotation)

    @property
    def cycles(self) -> int:
        """Cycles per image if neither side ever waits.

        ``slots`` cycles for each beat of a patch, and one for each beat that is dropped.
        """
        used = self.rows * self.kernel[0] * self.column_steps * self.kx_steps * self.pixel_steps
        return used * (self.slots - 1) + self.beats
