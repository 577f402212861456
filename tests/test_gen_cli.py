"""The command line: exit codes, messages, and commands whose packages are missing."""

import logging
import os
import signal
import subprocess
import sys
import time
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from fakecommands import FakePoint, fail, installer
from otherprocess import gone
from tercet.gen import cli, start
from tercet.model.errors import UserError

ROOT = Path(__file__).parent.parent


@pytest.fixture
def commands(monkeypatch):
    return installer(monkeypatch)


def test_runs_the_command_with_its_arguments(commands, capsys):
    def run(args):
        sys.stdout.write(f"counted {args.count}\n")
        return {}, True

    commands(count=run)
    assert cli.main(["count", "--count", "3"]) == 0
    assert capsys.readouterr() == ("counted 3\n", "")


def test_a_command_that_says_not_ok_exits_1_without_a_message(commands, capsys):
    commands(count=lambda args: ({}, False))
    assert cli.main(["count"]) == 1
    assert capsys.readouterr() == ("", "")


def test_a_user_error_is_one_line_and_exits_1(commands, capsys):
    commands(count=fail(UserError("There is nothing to count")))
    assert cli.main(["count"]) == 1
    assert capsys.readouterr() == ("", "tercet count: error: There is nothing to count\n")


def test_network_errors_are_user_errors(commands, capsys):
    from tercet.model import load

    commands(show=lambda args: ({}, bool(load("nowhere/absent.json"))))
    assert cli.main(["show"]) == 1
    assert capsys.readouterr().err == (
        "tercet show: error: The network file nowhere/absent.json cannot be read: "
        "No such file or directory\n"
    )


@pytest.mark.parametrize(
    "error", [ValueError("bug"), OSError(2, "bug"), ModuleNotFoundError("x", name="x")]
)
def test_any_other_error_is_a_bug_and_propagates(commands, error):
    commands(count=fail(error))
    with pytest.raises(type(error)):
        cli.main(["count"])


def test_an_interrupt_exits_130_with_one_line(commands, capsys):
    commands(count=fail(KeyboardInterrupt()))
    assert cli.main(["count"]) == 130
    assert capsys.readouterr() == ("", "tercet count: stopped by SIGINT\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "tercet: error: the following arguments are required: COMMAND\n"),
        (["count", "--count", "x"], "argument --count: invalid int value: 'x'\n"),
        (["count", "--coun", "1"], "unrecognized arguments: --coun 1\n"),
    ],
)
def test_wrong_usage_exits_2(commands, capsys, words, message):
    commands(count=lambda args: ({}, True))
    assert cli.main(words) == 2
    assert capsys.readouterr().err.endswith(message)


def test_a_command_behind_two_dashes_is_wrong_usage(commands):
    commands(count=fail(AssertionError("ran")))  # some Pythons would let it through
    assert cli.main(["--", "count"]) == 2


def test_an_unknown_command_names_those_there_are(commands, capsys):
    commands(sim=lambda args: ({}, True), plan=lambda args: ({}, True))
    assert cli.main(["count"]) == 2
    error = capsys.readouterr().err
    assert "'count'" in error
    assert error.index("plan") < error.index("sim")


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """A function that makes entry points of modules: {command: source}."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(**sources):
        points = []
        for name, source in sources.items():
            (tmp_path / f"fake_{name}.py").write_text(source)
            group = "tercet.commands"
            points.append(metadata.EntryPoint(name=name, value=f"fake_{name}", group=group))
        monkeypatch.setattr(metadata, "entry_points", lambda group: points)

    return make


def listed(capsys):
    """The commands in --help, with their lines."""
    lines = capsys.readouterr().out.split("COMMAND\n")[1].splitlines()
    return [line.split(maxsplit=1) for line in lines]


def test_help_lists_every_command_in_a_fixed_order(modules, capsys):
    modules(
        zebra="HELP = 'Last.'",
        sim="HELP = 'Simulate.'",
        train="HELP = 'Train.'",
        alpha="HELP = 'A.'",
    )
    assert cli.main(["--help"]) == 0
    assert listed(capsys) == [
        ["train", "Train."],
        ["sim", "Simulate."],
        ["alpha", "A."],
        ["zebra", "Last."],
    ]


def test_help_imports_no_command(modules, capsys):
    modules(sim="import missing_package\nHELP = 'Simulate.'\nraise SystemExit")
    assert cli.main(["--help"]) == 0
    assert listed(capsys) == [["sim", "Simulate."]]


def test_every_command_has_a_line(capsys):
    assert cli.main(["--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for point in metadata.entry_points(group=cli.GROUP):
        assert f" {point.name} {point.load().HELP}" in shown


def test_help_of_a_command_shows_its_own_and_the_common_options(commands, capsys):
    commands(count=None)
    assert cli.main(["count", "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: tercet count ")
    for expected in ("Count things.", "--count COUNT", "--json FILE", "-v, --verbose"):
        assert expected in shown


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"tercet {metadata.version('tercet')}\n"


def test_calling_a_command_imports_no_other(commands):
    points = commands(count=lambda args: ({}, True), train=fail(AssertionError()))
    assert cli.main(["count"]) == 0
    assert [point.loads for point in points] == [1, 0]


MISSING = ModuleNotFoundError("No module named 'cocotb.queue'", name="cocotb.queue")
HINT = "needs the package 'cocotb', which is not installed; get it with: pip install 'tercet[sim]'"


def test_a_missing_package_says_what_to_install(commands, capsys):
    commands(FakePoint("sim", error=MISSING))
    assert cli.main(["sim"]) == 1
    assert capsys.readouterr() == ("", f"tercet sim: error: {HINT}\n")


def test_a_package_missing_only_while_running_says_what_to_install(commands, capsys):
    commands(sim=fail(MISSING))
    assert cli.main(["sim"]) == 1
    assert capsys.readouterr() == ("", f"tercet sim: error: {HINT}\n")


def test_a_broken_import_of_our_own_is_a_bug(commands):
    commands(FakePoint("sim", error=ModuleNotFoundError("...", name="tercet.sim.absent")))
    with pytest.raises(ModuleNotFoundError):
        cli.main(["sim"])


def test_every_hint_names_an_extra_that_brings_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    distributions = {"cocotb_tools": "cocotb", "sklearn": "scikit-learn", "PIL": "pillow"}
    for package, extra in cli.EXTRAS.items():
        name = distributions.get(package, package).replace("_", "-")
        listed = project["optional-dependencies"][extra]
        assert any(line.startswith((f"{name}>", f"{name}=")) for line in listed), package


@pytest.mark.parametrize(("words", "shown"), [([], []), (["-v"], ["doing"])])
def test_verbose_shows_what_is_logged(commands, caplog, words, shown):
    def run(args):
        logging.getLogger("tercet.count").info("doing")
        return {}, True

    commands(count=run)
    assert cli.main(["count", *words]) == 0
    assert caplog.messages == shown


def test_a_closed_pipe_ends_quietly(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from types import SimpleNamespace as Name\n"
        "from tercet.gen import cli\n"
        "def run(args):\n"
        "    for line in range(100_000):\n"
        "        sys.stdout.write('a line of text\\n')\n"
        "    return {}, True\n"
        "module = Name(HELP='', add_arguments=lambda parser: None, run=run)\n"
        "point = Name(name='count', load=lambda: module)\n"
        "cli.metadata.entry_points = lambda group: [point]\n"
        "sys.exit(cli.main(['count']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), error) == (141, b"")


def test_the_console_script_runs_this_main(commands, monkeypatch):
    (point,) = metadata.entry_points(group="console_scripts", name="tercet")
    commands(count=lambda args: ({}, False))
    monkeypatch.setattr(sys, "argv", ["tercet", "count"])
    before = signal.getsignal(signal.SIGINT)
    assert point.load()() == 1
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_during_the_first_imports_is_one_line(monkeypatch, capsys):
    def interrupted(*words):
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr("builtins.__import__", interrupted)
    code = start.main()
    monkeypatch.undo()
    signal.signal(signal.SIGINT, before)
    assert (code, capsys.readouterr().err) == (130, "tercet: interrupted\n")


SLEEPER = """
import signal
import sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)  # in the background, as under nohup, some are shut off
from types import SimpleNamespace as Name
from tercet.gen import cli
from tercet.model.files import temporary_folder
from tercet.model.processes import run
def sleep(args):
    with temporary_folder() as folder:
        run(["sh", "-c", "touch $TMPDIR/left; sleep 50 & echo $! >" + sys.argv[1] + "; wait"])
module = Name(HELP='', add_arguments=lambda parser: None, run=sleep)
cli.metadata.entry_points = lambda group: [Name(name='count', load=lambda: module)]
sys.exit(cli.main(['count']))
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_programs_and_temporaries(name, tmp_path):
    temporary, pid = tmp_path / "tmp", tmp_path / "pid"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, pid],
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (pid.is_file() and pid.read_text().endswith("\n")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    assert len(list(temporary.iterdir())) == 1
    number = signal.Signals[name]
    process.send_signal(number)
    error = process.communicate(timeout=30)[1]
    assert (process.returncode, error) == (128 + number, f"tercet count: stopped by {name}\n")
    assert list(temporary.iterdir()) == []
    assert gone(int(pid.read_text()))
