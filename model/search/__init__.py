"""The search for the multipliers M, n and B with the fewest bits that equal a reference."""
