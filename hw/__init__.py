"""Amaranth components: engines, requantizer, ROMs, streams and the AXI4-Stream shell."""
