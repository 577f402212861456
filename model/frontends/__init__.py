"""Readers of networks from other tools, one module or folder for each source."""
