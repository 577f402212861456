"""Readers of quantized networks from elsewhere, one file per source."""
