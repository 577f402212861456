"""The search for multipliers: M, n and B of the fewest bits that equal a reference."""
