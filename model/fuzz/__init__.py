"""Random integer networks, for the fuzzer and for tests: legal by construction, and the same for
the same generator."""
