"""Hand-off to the tools behind the Verilog."""
