"""What parts take of a device: DSP blocks, block RAMs, LUTs."""
