"""What a run can be asked for; imports nothing, so the command line can list it at once."""

__all__ = ["PAUSES", "SIMULATORS"]

SIMULATORS = ("verilator", "icarus")
PAUSES = ("none", "input", "output", "both")  # the sides of a core that pause at random
