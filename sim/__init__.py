"""cocotb benches for the emitted Verilog, and their runner."""
