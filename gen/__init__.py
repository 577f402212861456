"""From network to files: plan, Verilog, manifest, synthesis, the command line."""
