"""From a plan to the Verilog and the manifest of a core."""
