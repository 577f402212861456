"""Random integer networks for the fuzzer and for tests: always legal, and reproducible from the
generator's seed."""
