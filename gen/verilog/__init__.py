"""From a plan to Verilog and its manifest."""
