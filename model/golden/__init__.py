"""The golden model: every tensor of a network, by plain loops and by fast forms equal to them."""

from .fast import batch_size, scores, trace
from .loop import trace_loop

__all__ = ["batch_size", "scores", "trace", "trace_loop"]
