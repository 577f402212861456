"""The options of a run. Without imports, so the command line can list them quickly."""

__all__ = ["PAUSES", "SIMULATORS"]

SIMULATORS = ("verilator", "icarus")
PAUSES = ("none", "input", "output", "both")  # the sides of a core that pause at random
