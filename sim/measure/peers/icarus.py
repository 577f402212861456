"""Simulation in Icarus Verilog of a core that takes one whole image per clock cycle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ....model import processes
from .chain import PeerError

__all__ = ["run_unrolled"]

BENCH = """\
module bench;
  reg clk = 0;
  reg [{inputs}-1:0] images [0:{count}-1];
  reg [{inputs}-1:0] image = 0;
  wire [{outputs}-1:0] scores;
  integer cycle;
  {top} core(.clk(clk), .model_inp(image), .model_out(scores));
  initial begin
    $readmemh("images.hex", images);
    for (cycle = 0; cycle < {count} + {latency}; cycle = cycle + 1) begin
      image = cycle < {count} ? images[cycle] : 0;
      #5;
      if (cycle >= {latency}) $display("%h", scores);
      clk = 1; #5; clk = 0;
    end
  end
endmodule
"""


def run_unrolled(
    folder: Path, top: str, images: npt.NDArray[np.int64], widths: list[int], latency: int
) -> list[list[int]]:
    """Send images through folder/core.v, one per clock cycle, and read the scores.

    Parameters
    ----------
    images : (N, values) in 0..255; the first value is in the least significant bits
    widths : bits of each score; the first score is in the least significant bits
    latency : clock edges from an image to its scores

    Raises PeerError if Icarus refuses the files.
    """
    lines = [bytes(image[::-1].astype(np.uint8)).hex() for image in images]
    (folder / "images.hex").write_text("\n".join(lines) + "\n", encoding="ascii")
    numbers = {"inputs": 8 * images.shape[1], "outputs": sum(widths), "count": len(images)}
    bench = BENCH.format(top=top, latency=latency, **numbers)
    (folder / "bench.v").write_text(bench, encoding="ascii")
    _call(["iverilog", "-o", "bench.vvp", "-s", "bench", "bench.v", "core.v"], folder)
    return [_split(int(word, 16), widths) for word in _call(["vvp", "bench.vvp"], folder).split()]


def _call(command: list[str], folder: Path) -> str:
    done = processes.run(command, cwd=folder, merged=False)
    if done.returncode != 0:
        raise PeerError(f"{command[0]} failed: {' | '.join(done.stderr.splitlines()[-3:])}")
    return done.stdout


def _split(word: int, widths: list[int]) -> list[int]:
    values = []
    for width in widths:
        values.append(word & (1 << width) - 1)
        word >>= width
    return values
