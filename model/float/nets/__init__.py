"""The shipped networks as float modules."""

from .nets import NETS, Checkpoint, load, save, shipped

__all__ = ["NETS", "Checkpoint", "load", "save", "shipped"]
