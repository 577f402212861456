"""Layers as parts of a core: their forms, their cycles, their components."""
