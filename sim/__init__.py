"""cocotb benches for the emitted Verilog, the code that runs them, and measurements."""
