"""The plan: how many multipliers each layer gets, which stream goes where, and what that yields."""

from .plan import LayerPlan, Plan
from .planner import make_plan

__all__ = ["LayerPlan", "Plan", "make_plan"]
