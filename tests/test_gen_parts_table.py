"""Tables in a core: results, cycles as planned, and as many values a beat as the goal asks for."""

import numpy as np
import pytest
from plancheck import check_plan
from residualnet import UINT8
from tablenet import tables
from tercet.model.builder import Builder, Grid


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("goal", [None, 1, 60])
def test_a_core_with_tables_takes_the_cycles_of_its_plan(goal, bits, seed):
    rng = np.random.default_rng([seed, bits])
    plan = check_plan(tables(rng, bits), goal, rng, 4)
    parts = {layer.name: layer.part for layer in plan.layers}
    lanes = {name: parts[name].form["S"] for name in ("noise", "half", "few")}
    assert lanes["noise"] == (1 if goal is None else 2)  # the sum takes a value a cycle: 72
    for name in lanes:
        part = parts[name]
        assert part.cycles == np.prod(part.x.shape) // lanes[name] <= plan.cycles_per_image
        assert [memory.rows for memory in part.memories] == (
            lanes[name] * [{"noise": 1 << bits, "half": 256, "few": 16}[name]]
        )
        assert part.products() == []


def test_a_table_without_effect_is_not_built(seed):
    rng = np.random.default_rng(seed)
    network = tables(rng)
    index = [layer.name for layer in network.layers].index("half")
    assert index

    builder, grid = Builder("net"), Grid(UINT8, 1.0, 0)
    x = builder.input((2, 3, 2), grid)
    x = builder.table("as_it_is", x, np.arange(256), grid)
    builder.table("turned", x, np.arange(256)[::-1], grid)
    plan = check_plan(builder.network(), None, np.random.default_rng(seed), 3)
    assert [layer.name for layer in plan.layers] == ["turned"]
