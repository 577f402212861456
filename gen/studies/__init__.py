"""Measurements over many networks, and documents with the results."""
