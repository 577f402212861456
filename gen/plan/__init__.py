"""The plan: the multipliers of each layer, the streams between layers, and the resulting cycles."""

from .plan import LayerPlan, Plan
from .planner import make_plan

__all__ = ["LayerPlan", "Plan", "make_plan"]
