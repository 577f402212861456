"""The cycles per image are those after the last change, and the first images those before."""

import numpy as np
import pytest
from tercet.gen.plan import make_plan, schedule

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from tercet.model.frontends import torch_export  # noqa: E402
from torch import nn  # noqa: E402


@pytest.mark.torch
def test_slower_images_at_first_are_not_the_rate(monkeypatch):
    """The fifth image of this core is faster than those before: its queue is filled then."""
    torch.manual_seed(0)
    module = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64, 10)),
    )
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    network = torch_export.read(module.eval(), (1, 8, 8), "net", images)
    runs, core = [], schedule._Core

    def kept(*args, **options):
        runs.append((args, options))
        return core(*args, **options)

    monkeypatch.setattr(schedule, "_Core", kept)
    plan = make_plan(network, 5000)
    args, options = runs[-1]  # with the final depths
    periods = core(*args, **{**options, "images": 40}).periods
    stated = [*plan.first_cycles, *[plan.cycles_per_image] * len(periods)][: len(periods)]
    assert periods == stated
    assert len(set(periods)) > 1
