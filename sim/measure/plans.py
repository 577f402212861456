"""The networks that the bench measures, and the plans of each."""

from __future__ import annotations

from dataclasses import dataclass

from ...gen.plan.goals import Goal, MultiplierGoal

__all__ = ["NETS", "PLANS", "BenchPlan"]

# The shipped networks, small ones first.
NETS = (
    *("plain", "separable", "mnist_cnn", "mnist_cnn_bn"),
    *("lenet_max", "lenet_avg", "mobilenet"),
)


@dataclass(frozen=True)
class BenchPlan:
    """A goal under a name.

    key : for files and the command line
    title, meaning : for the document
    """

    key: str
    title: str
    meaning: str
    goal: Goal | None


# In the order in which they are measured: the time may run out.
PLANS = {
    plan.key: plan
    for plan in (
        BenchPlan("default", "one value a clock", "what a plan is without a goal", None),
        BenchPlan("64", "64 multipliers", "at most, in the layers", MultiplierGoal(64)),
        BenchPlan(
            "fewest", "fewest multipliers", "one in each layer where that works", MultiplierGoal(1)
        ),
    )
}
