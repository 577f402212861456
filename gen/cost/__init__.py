"""The cost of parts on a device: DSP blocks, block RAMs, LUTs."""
