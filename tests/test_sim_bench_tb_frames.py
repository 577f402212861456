"""The bench proven on a hand-written core: it passes what is right and catches each planted bug."""

import re
from dataclasses import dataclass

import pytest
from tercet.sim.bench.bench import steady_distance
from tercet.sim.run.compile import compile_verilog
from tercet.sim.run.job import TESTS, run_frames
from tinycore import TINY_MANIFEST, TINY_VERILOG, tiny_images, tiny_network

IMAGES = 10


def run_tiny(verilog, folder, seed, tests, manifest=TINY_MANIFEST, images=IMAGES):
    compiled = compile_verilog(verilog, "tiny", "icarus", folder / "compiled")
    outcomes = run_frames(
        tiny_network(),
        manifest,
        tiny_images(images, seed),
        compiled,
        tests=tests,
        folder=folder / "run",
        seed=seed,
    )
    return {outcome.test: outcome for outcome in outcomes}


@pytest.fixture(scope="module")
def sound(tmp_path_factory, seed):
    """Every test over the core as it stands."""
    return run_tiny(TINY_VERILOG, tmp_path_factory.mktemp("tiny"), seed, TESTS)


@pytest.mark.icarus
@pytest.mark.parametrize("test", TESTS)
def test_passes_a_sound_core(sound, test, seed):
    outcome = sound[test]
    assert outcome.failure is None
    assert outcome.facts["mismatches"] == 0
    assert outcome.facts["tensors_compared"] == 3
    if test.startswith("frames"):
        assert outcome.facts["values_compared"] == IMAGES * (8 + 3 + 1)
        assert outcome.facts["classes"] == [
            int(image) for image in tiny_network().trace(tiny_images(IMAGES, seed))["class"].flat
        ]


@pytest.mark.icarus
def test_measures_cycles_without_pauses_only(sound):
    steady, paused = sound["frames/pauses=none"].facts, sound["frames/pauses=both"].facts
    assert (steady["cycles_per_image"], steady["latency_cycles"]) == (25, 27)
    assert (paused["cycles_per_image"], paused["latency_cycles"]) == (None, None)


@pytest.mark.parametrize(
    ("cycles", "distance"),
    [
        ([], None),
        ([7], None),
        ([7, 12], 5),
        ([0, 9, 14, 19, 24], 5),  # the first images may differ: the core was idle
        ([0, 5, 10, 15, 25], 7.5),  # a stall in the later half shows
        ([0, 5, 10, 15, 20, 25, 50, 55, 60], 10),
    ],
)
def test_steady_distance_is_that_of_the_later_half(cycles, distance):
    assert steady_distance(cycles) == distance


@pytest.mark.icarus
def test_one_image_has_a_latency_but_no_distance(tmp_path, seed):
    tests = ["frames/pauses=none"]
    facts = run_tiny(TINY_VERILOG, tmp_path, seed, tests, images=1)[tests[0]].facts
    assert (facts["cycles_per_image"], facts["latency_cycles"]) == (None, 27)


@pytest.mark.icarus
def test_the_same_seed_gives_the_same_run(sound, tmp_path, seed):
    tests = ["frames/pauses=both", "resets/pauses=both"]  # without the tests before them
    again = run_tiny(TINY_VERILOG, tmp_path, seed, tests)
    assert [again[test].facts for test in tests] == [sound[test].facts for test in tests]


@dataclass(frozen=True)
class Bug:
    """A line of tiny.v replaced, the test that must fail of it, and what it must say."""

    name: str
    old: str
    new: str
    test: str
    message: str


NONE, INPUT, OUTPUT, BOTH = (f"frames/pauses={p}" for p in ("none", "input", "output", "both"))
MISMATCH = r"image \d+, row \d+, column \d+, channel \d+: expected -?\d+, got \S+ \(seed \d+\)"


def mismatch(name):
    return rf".*\d+ of \d+ values of {name} differ.*; first mismatch: {name}, {MISMATCH}"


BUGS = [
    Bug("weight", "? -3 * $s", "? -2 * $s", NONE, mismatch("conv1")),
    Bug("rounding", "(acc + 16'sd4)", "(acc + 16'sd3)", NONE, mismatch("conv1")),
    Bug("ceiling", "rounded > 255 ? 8'd255", "rounded > 255 ? 8'd254", NONE, mismatch("conv1")),
    Bug("zero point", "- 16'sd5;", "- 16'sd4;", NONE, mismatch("logits")),
    Bug("channel order", "channel == 2'd1 ? acc1 : acc2", "channel == 2'd1 ? acc2 : acc1", NONE,
        mismatch("logits")),
    Bug("sign extension", "{{2{y[5]}}, y}", "{2'b00, y}", NONE, mismatch("logits at m_axis")),
    Bug("tie", "> greatest", ">= greatest", NONE, mismatch("class at m_axis_tuser")),
    Bug("undefined bits", "assign m_axis_tdata = {{2{y[5]}}", "assign m_axis_tdata = {1'bx, y[5]",
        NONE, mismatch("logits at m_axis")),
    Bug("value lost", "start) index <= 4'd0", "start) index <= 4'd1", NONE,
        rf"Waited \d+ cycles for 10 results: .*; first mismatch: conv1, {MISMATCH}"),
    Bug("value too many", "if (channel == 2'd2)", "if (channel == 2'd3)", NONE,
        rf"Waited .*; first mismatch: logits, {MISMATCH}|" + mismatch("logits")),
    Bug("silence", "assign m_axis_tvalid = y_valid", "assign m_axis_tvalid = 1'b0", NONE,
        r"Waited \d+ cycles for 10 results: s_axis took \d+ beats, m_axis gave 0, "
        r"0 of them with TLAST; first mismatch: none \(seed \d+\)"),
    Bug("no TLAST", "assign m_axis_tlast = place == 2'd2", "assign m_axis_tlast = 1'b0", NONE,
        rf"Waited .* 0 of them with TLAST; first mismatch: m_axis_tlast, {MISMATCH}"),
    Bug("TLAST early", "assign m_axis_tlast = place == 2'd2", "assign m_axis_tlast = place != 0",
        NONE, mismatch("m_axis_tlast")),
    Bug("payload moves", "else if (o__valid & o__ready) index", "else if (o__valid) index", OUTPUT,
        r"conv1: (payload changed from \d+ to \d+|valid fell) in cycle \d+ before .*was taken"),
    Bug("valid falls", "assign m_axis_tvalid = y_valid", "reg flip; always @(posedge clk) "
        "flip <= ~rst & ~flip;\n  assign m_axis_tvalid = y_valid & flip", OUTPUT,
        r"m_axis: valid fell in cycle \d+ before .* was taken"),
    Bug("deaf to ready", ".o__ready(m_axis_tready)", ".o__ready(1'b1)", OUTPUT,
        r"m_axis: (payload changed|valid fell) .*"),
    Bug("deaf to valid", "take = s_axis_tvalid &", "take = 1'b1 &", INPUT,
        r"(frame_\w+ is up|.*first mismatch: ).*"),
    Bug("valid waits for ready", "m_axis_tvalid = y_valid", "m_axis_tvalid = y_valid & "
        "m_axis_tready", "patient_sink", r"Waited \d+ cycles for 2 results: .*"),
    Bug("undefined valid", "else if (start) index <= 4'd0", "else if (start) index <= 4'bx000",
        NONE, r"(s_axis: ready|conv1: valid) is X, neither 0 nor 1"),
]  # fmt: skip

PIN = r"frame_{} in cycle \d+, when \d+ right and \d+ wrong frames have ended since the reset"

FRAME_BUGS = [
    Bug("flag missing", "~frame_error_clear | wrong;", "~frame_error_clear;", "",
        PIN.format("error is down")),
    Bug("flag falls", "frame_error <= frame_error & ~frame_error_clear | wrong",
        "frame_error <= wrong", "", PIN.format("error is down")),
    Bug("flag is not cleared", "frame_error & ~frame_error_clear | wrong", "frame_error | wrong",
        "", PIN.format("error is up")),
    Bug("clear goes before a wrong frame", "frame_error & ~frame_error_clear | wrong",
        "(frame_error | wrong) & ~frame_error_clear", "", PIN.format("error is down")),
    Bug("flag for every frame", "!= (beat == 4'd15);", "== (beat == 4'd15);", "",
        PIN.format("bad is up")),
    Bug("flag survives reset", "start <= 1'b0; frame_error <= 1'b0;",
        "start <= 1'b0; if (frame_error === 1'bx) frame_error <= 1'b0;", "",
        PIN.format("error is up")),
    Bug("verdict missing", "frame_good <= take & s_axis_tlast &", "frame_good <= 1'b0 &", "",
        PIN.format("good is down")),
    Bug("verdict late", "frame_bad <= wrong;", "frame_bad <= start | wrong;", "",
        PIN.format("bad is up")),
    Bug("short frame passes", "start <= take & s_axis_tlast & beat == 4'd15",
        "start <= take & s_axis_tlast", "", ".*logits at m_axis, image.*"),
    Bug("long frame passes", "start <= take & s_axis_tlast & beat == 4'd15",
        "start <= take & beat == 4'd15", "", ".*logits at m_axis, image.*"),
    Bug("short frame runs on", "ends = s_axis_tlast | beat == 4'd15", "ends = beat == 4'd15", "",
        ".*"),
    Bug("frame after a wrong one lost", "start <= take & s_axis_tlast & beat == 4'd15",
        "start <= take & s_axis_tlast & beat == 4'd15 & ~frame_error",
        "wrong_frames/pauses=none",  # with pauses the bench may clear frame_error in time
        r"Waited \d+ cycles for \d+ results: .*"),
]  # fmt: skip

RESET_BUGS = [
    Bug("takes beats", "~start & ~rst;", "~start;", "",
        r"s_axis: ready is (up in cycle \d+, in which rst is|X, neither 0 nor 1)"),
    Bug("offers beats", "y_valid & ~rst;", "y_valid;", "",
        r"m_axis: valid is (up in cycle \d+, in which rst is|X, neither 0 nor 1)"),
    Bug("input counter", "beat <= 4'd0; start <= 1'b0; frame_error",
        "if (beat === 4'bx) beat <= 4'd0; start <= 1'b0; frame_error", "", ".*"),
    Bug("start", "start <= 1'b0; frame_error", "if (start === 1'bx) start <= 1'b0; frame_error", "",
        ".*"),
    Bug("walk", "if (rst) index <= 4'd8", "if (rst & (index === 4'bx)) index <= 4'd8", "", ".*"),
    Bug("sums", "if (rst) begin\n      beat <= 4'd0; channel <= 2'd0; acc0 <= 0",
        "if (rst) begin\n      beat <= 4'd0; channel <= 2'd0; if (acc0 === 16'bx) acc0 <= 0", "",
        ".*first mismatch: logits, image .*"),
    Bug("output counter", "if (rst) place <= 2'd0", "if (rst & (place === 2'bx)) place <= 2'd0", "",
        ".*"),
]  # fmt: skip


def plant(bug, folder):
    source = TINY_VERILOG.read_text()
    assert source.count(bug.old) == 1
    path = folder / "tiny.v"
    path.write_text(source.replace(bug.old, bug.new))
    return path


def catch(bug, tests, folder, seed):
    """Each of the tests must fail, and say why."""
    outcomes = run_tiny(plant(bug, folder), folder, seed, tests)
    for test in tests:
        failure = outcomes[test].failure
        assert failure is not None, test
        assert re.fullmatch(bug.message, failure), failure


def ids(bugs):
    return [bug.name for bug in bugs]


@pytest.mark.icarus
@pytest.mark.parametrize("bug", BUGS, ids=ids(BUGS))
def test_catches_a_bug_in_plain_frames(bug, tmp_path, seed):
    catch(bug, [bug.test], tmp_path, seed)


@pytest.mark.icarus
@pytest.mark.parametrize("bug", FRAME_BUGS, ids=ids(FRAME_BUGS))
def test_catches_a_bug_in_the_framing(bug, tmp_path, seed):
    tests = ["wrong_frames/pauses=none", "wrong_frames/pauses=both"]
    catch(bug, [bug.test] if bug.test else tests, tmp_path, seed)


@pytest.mark.icarus
@pytest.mark.parametrize("bug", RESET_BUGS, ids=ids(RESET_BUGS))
def test_catches_what_a_reset_forgets(bug, tmp_path, seed):
    catch(bug, ["resets/pauses=none"], tmp_path, seed)


@pytest.mark.icarus
@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        (
            "cycles_per_image",
            24,
            "Measured 25 cycles from image 0 to image 1, the manifest says 24",
        ),
        (
            "first_cycles",
            [25, 26],
            "Measured 25 cycles from image 1 to image 2, the manifest says 26",
        ),
        ("latency_cycles", 28, "Measured latency_cycles 27, the manifest says 28"),
    ],
)
def test_catches_a_manifest_that_is_off_by_a_cycle(key, value, complaint, tmp_path, seed):
    test = "frames/pauses=none"
    outcome = run_tiny(TINY_VERILOG, tmp_path, seed, [test], TINY_MANIFEST | {key: value})[test]
    assert outcome.failure == complaint


@pytest.mark.icarus
def test_a_stream_that_is_not_there_is_named(tmp_path, seed):
    streams = [TINY_MANIFEST["streams"][0] | {"scope": "conv7"}]
    outcome = run_tiny(
        TINY_VERILOG, tmp_path, seed, TESTS[:1], TINY_MANIFEST | {"streams": streams}
    )
    assert outcome[TESTS[0]].failure.startswith(
        "The manifest names a stream at conv7, which the Verilog lacks: "
    )
