import pytest
from tercet.sim.bench.scoreboard import Scoreboard, ScoreboardError


def board_of(*sizes):
    board = Scoreboard(seed=7)
    return board, [board.line(f"t{n}", (2, 3, size), f"t{n}") for n, size in enumerate(sizes)]


def feed(line, values):
    for value in values:
        line.receive(value)


def test_counts_values_and_tensors():
    board, lines = board_of(1, 2)
    for line in lines:
        for image in range(2):
            line.expect(image, list(range(line.size)))
            feed(line, range(line.size))
    board.finish(2)
    assert board.values_compared == 2 * 6 + 2 * 12
    assert board.tensors_compared == 2
    assert board.mismatches == 0
    assert board.first_mismatch is None


def test_a_tensor_on_two_streams_counts_once_and_a_side_band_not_at_all():
    board = Scoreboard(seed=7)
    lines = [board.line(name, (1, 1, 4), tensor) for name, tensor in (("a", "t"), ("b", "t"))]
    lines.append(board.line("last", (1, 1, 4), None))
    for line in lines:
        line.expect(0, [1, 2, 3, 4])
        feed(line, [1, 2, 3, 4])
    board.finish(1)
    assert (board.values_compared, board.tensors_compared) == (4, 1)


def test_first_mismatch_names_every_coordinate():
    board, (line,) = board_of(4)
    for image in (3, 8):
        line.expect(image, list(range(24)))
    feed(line, range(24))
    got = list(range(24))
    got[1 * 3 * 4 + 2 * 4 + 1] = -5  # row 1, column 2, channel 1
    got[23] = 0
    feed(line, got)
    assert str(board.first_mismatch) == (
        "t0, image 8, row 1, column 2, channel 1: expected 21, got -5 (seed 7)"
    )
    with pytest.raises(ScoreboardError) as caught:
        board.finish(2)
    assert str(caught.value) == (
        "2 of 48 values of t0 differ; first mismatch: "
        "t0, image 8, row 1, column 2, channel 1: expected 21, got -5 (seed 7)"
    )
    assert board.mismatches == 2


def test_first_mismatch_is_the_first_in_time():
    board, (front, back) = board_of(1, 1)
    for line in (front, back):
        line.expect(0, [0] * 6)
    back.receive(1)
    front.receive(2)
    assert board.first_mismatch.tensor == "t1"


def test_undefined_bits_are_a_mismatch():
    board, (line,) = board_of(1)
    line.expect(0, [0] * 6)
    line.receive("0000000X")
    assert board.first_mismatch.got == "0000000X"


@pytest.mark.parametrize("missing", [1, 6])
def test_finish_refuses_missing_values(missing):
    board, (line,) = board_of(1)
    for image in range(2):
        line.expect(image, [0] * 6)
    feed(line, [0] * (12 - missing))
    with pytest.raises(ScoreboardError) as caught:
        board.finish(2)
    assert str(caught.value) == f"t0 gave {12 - missing} of the 12 values expected; seed 7"


def test_finish_refuses_a_core_that_emits_nothing():
    board, (line,) = board_of(1)
    line.expect(0, [0] * 6)
    with pytest.raises(ScoreboardError) as caught:
        board.finish(1)
    assert str(caught.value) == "t0 gave 0 of the 6 values expected; seed 7"


def test_finish_refuses_values_nobody_expected():
    board, (line,) = board_of(1)
    line.expect(0, [0] * 6)
    feed(line, [0] * 8)
    with pytest.raises(ScoreboardError) as caught:
        board.finish(1)
    assert str(caught.value) == "t0 gave 2 more than the 6 values expected; seed 7"
    assert board.mismatches == 2


def test_finish_refuses_a_test_that_expected_too_little():
    board, (line,) = board_of(1)
    line.expect(0, [0] * 6)
    feed(line, [0] * 6)
    with pytest.raises(ScoreboardError) as caught:
        board.finish(2)
    assert str(caught.value) == "t0 gave 6 of the 12 values expected; seed 7"


def test_restart_forgets_expectations_but_not_mismatches():
    board, (line,) = board_of(1)
    line.expect(0, [0] * 6)
    feed(line, [0, 0])
    board.restart()
    line.expect(1, [5] * 6)
    feed(line, [5] * 6)
    board.finish(1)
    assert board.values_compared == 8
    line.expect(2, [0] * 6)
    line.receive(1)
    board.restart()
    line.expect(3, [0] * 6)
    feed(line, [0] * 6)
    with pytest.raises(ScoreboardError):
        board.finish(1)


def test_a_muted_line_neither_expects_nor_compares():
    board, (line,) = board_of(1)
    line.muted = True
    line.expect(0, [0] * 6)
    feed(line, [9] * 3)
    board.finish(1)
    assert (board.values_compared, board.tensors_compared) == (0, 0)


def test_an_expectation_of_the_wrong_size_is_refused():
    _, (line,) = board_of(1)
    with pytest.raises(ValueError, match=r"^t0 has 6 values an image, not 5$"):
        line.expect(0, [0] * 5)
