"""Layers as parts of a core: their forms, cycles and components."""
