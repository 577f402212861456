"""Programs, workers and signals: nothing outlives the process that started it."""

import os
import signal
import threading
import time
from contextlib import closing

import pytest
from otherprocess import gone
from tercet.model.processes import Stopped, in_parallel, run, stoppable

# A program that starts another one, and says who that is.
FAMILY = "sleep 50 & echo $! > {}; wait"


def pid_in(path):
    while not (path.is_file() and path.read_text().endswith("\n")):
        time.sleep(0.02)
    return int(path.read_text())


def test_output_and_exit_code_of_a_program(tmp_path):
    done = run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.stdout, done.stderr, done.returncode) == ("out\nerr\n", "", 3)
    done = run(["sh", "-c", "echo out; echo err >&2; pwd"], merged=False, cwd=tmp_path)
    assert (done.stdout, done.stderr) == (f"out\n{tmp_path}\n", "err\n")
    done = run(["sh", "-c", "printf 'a\\377'"], log=tmp_path / "log", env={})
    assert (done.stdout, (tmp_path / "log").read_bytes()) == ("", b"a\xff")


def test_an_exception_ends_a_program_and_what_it_started(tmp_path):
    def interrupt():
        pid_in(tmp_path / "pid")
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Stopped, match=r"^stopped by SIGTERM$") as caught, stoppable():
        run(["sh", "-c", FAMILY.format(tmp_path / "pid")])
    thread.join()
    assert caught.value.number == signal.SIGTERM
    assert gone(pid_in(tmp_path / "pid"))


@pytest.fixture
def signals():
    """Signals as in the foreground: in the background, as under nohup, some are shut off."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
def test_only_the_first_signal_counts_and_handlers_come_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)]
    closed = []

    def sleep():
        try:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            closed.append(True)

    with pytest.raises(Stopped, match=r"^stopped by SIGHUP$"), stoppable():
        sleep()
    assert closed == [True]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)] == before


def test_a_signal_that_is_shut_off_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_workers_give_every_result():
    with closing(in_parallel(divmod, [(number, 3) for number in range(7)], 2)) as results:
        assert sorted(results) == [divmod(number, 3) for number in range(7)]


def test_an_exception_ends_workers_and_their_programs(tmp_path):
    calls = [(["sh", "-c", FAMILY.format(tmp_path / name)],) for name in "ab"]
    calls.insert(0, (["true"],))
    results = in_parallel(run, calls, 3)
    assert next(results).returncode == 0
    pids = [pid_in(tmp_path / name) for name in "ab"]
    with pytest.raises(KeyboardInterrupt):
        results.throw(KeyboardInterrupt)
    assert all(map(gone, pids))
