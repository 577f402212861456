"""Measurements over many networks, and the documents they become."""
