"""Commands for the tests of the command line, in place of the real ones."""

from importlib import metadata
from types import SimpleNamespace


class FakePoint:
    """An entry point whose module is ``module``, or whose import raises ``error``."""

    value = "no_module_for_help"

    def __init__(self, name, module=None, error=None):
        self.name, self.module, self.error = name, module, error
        self.loads = 0

    def load(self):
        self.loads += 1
        if self.error is not None:
            raise self.error
        return self.module


def command(run, help_line="Count things."):
    def add_arguments(parser):
        parser.add_argument("--count", type=int, default=1, help="how many (default 1)")

    return SimpleNamespace(HELP=help_line, add_arguments=add_arguments, run=run)


def fail(error):
    def run(args):
        raise error

    return run


def installer(monkeypatch):
    """A function that makes the given fake commands the only ones."""

    def install(*points, **runs):
        points = [*points, *(FakePoint(name, command(run)) for name, run in runs.items())]
        monkeypatch.setattr(metadata, "entry_points", lambda group: points)
        return points

    return install
