"""The networks and the plans that the bench measures."""

from __future__ import annotations

from dataclasses import dataclass

from ...gen.plan.goals import Goal, MultiplierGoal

__all__ = ["NETS", "PLANS", "BenchPlan"]

# The shipped networks, small networks first.
NETS = (
    *("plain", "separable", "mnist_cnn", "mnist_cnn_bn"),
    *("lenet_max", "lenet_avg", "mobilenet"),
)


@dataclass(frozen=True)
class BenchPlan:
    """A goal with a name.

    key : name in files and on the command line
    title, meaning : texts of the document
    """

    key: str
    title: str
    meaning: str
    goal: Goal | None


# In the order of measurement, because the time may be limited.
PLANS = {
    plan.key: plan
    for plan in (
        BenchPlan("default", "one value a clock", "the plan without a goal", None),
        BenchPlan("64", "64 multipliers", "at most 64 in the layers", MultiplierGoal(64)),
        BenchPlan(
            "fewest", "fewest multipliers", "one in each layer if possible", MultiplierGoal(1)
        ),
    )
}
