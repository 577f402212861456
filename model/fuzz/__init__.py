"""Random integer networks for the fuzzer and for tests: always legal, reproducible by seed."""
