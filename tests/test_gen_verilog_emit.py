"""Writing Verilog leaves Python's garbage collector as it was."""

import gc

import pytest
from amaranth import Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import Out
from tercet.gen.verilog.emit import to_rtlil
from tercet.hw.argmax import Argmax


class Broken(wiring.Component):
    """Two drivers of one signal, which Amaranth refuses."""

    def __init__(self):
        super().__init__({"o": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.a = a = Module()
        m.submodules.b = b = Module()
        a.d.comb += self.o.eq(0)
        b.d.comb += self.o.eq(Signal())
        return m


@pytest.fixture
def collector():
    yield
    gc.enable()


@pytest.mark.parametrize("collects", [True, False])
@pytest.mark.usefixtures("collector")
def test_the_collector_goes_on_as_before(collects):
    if not collects:
        gc.disable()
    assert "module \\top" in to_rtlil(Argmax(activation=unsigned(8), classes=10), "top")
    assert gc.isenabled() == collects


@pytest.mark.usefixtures("collector")
def test_the_collector_goes_on_after_an_error():
    with pytest.raises(Exception, match="driven"):
        to_rtlil(Broken(), "top")
    assert gc.isenabled()
