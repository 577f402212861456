"""What compiles and starts simulators, on the host."""
