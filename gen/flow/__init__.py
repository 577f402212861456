"""The tools that process the Verilog: synthesis, place and route."""
