"""Cells and clock of a Verilog file: what is kept of them."""

import pytest
from measuredrows import RESOURCES, TIMING
from tercet.gen.flow import nextpnr
from tercet.gen.flow.nextpnr import DoesNotFitError
from tercet.gen.flow.yosys import FlowError
from tercet.gen.studies import cells
from tercet.model.studies.rows import Store


@pytest.mark.parametrize(
    ("error", "pnr"),
    [
        (None, TIMING.facts()),
        (DoesNotFitError("too large"), {"does_not_fit": "too large"}),
    ],
)
def test_cells_hold_the_clock_or_why_there_is_none(error, pnr, monkeypatch, tmp_path):
    def place_and_route(netlist, target):
        if error:
            raise error
        return TIMING

    monkeypatch.setattr(cells, "synthesize", lambda *words: RESOURCES)
    monkeypatch.setattr(cells, "place_and_route", place_and_route)
    (tmp_path / "core.v").write_text("module")
    found = cells.cells_of(tmp_path / "core.v", "core", "ecp5", Store(tmp_path))
    assert found == {**RESOURCES.facts(), "pnr": pnr}
    assert nextpnr.PNR_TARGETS.keys() == {"ecp5", "ice40"}
    assert "pnr" not in cells.cells_of(tmp_path / "core.v", "core", "xilinx", Store(tmp_path))


def test_a_failure_of_place_and_route_is_not_kept(monkeypatch, tmp_path):
    def place_and_route(netlist, target):
        raise FlowError("killed")

    monkeypatch.setattr(cells, "synthesize", lambda *words: RESOURCES)
    monkeypatch.setattr(cells, "place_and_route", place_and_route)
    (tmp_path / "core.v").write_text("module")
    with pytest.raises(FlowError, match=r"^killed$"):
        cells.cells_of(tmp_path / "core.v", "core", "ecp5", Store(tmp_path))
    assert not (tmp_path / "cells").exists()
