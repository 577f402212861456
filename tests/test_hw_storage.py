"""Where memories go, and that what they give for a row that is being written is never used."""

import numpy as np
import pytest
from amaranth import signed, unsigned
from amaranth.lib import data, memory
from hwsim import run_streams
from patchcheck import SHAPES, build, check
from tercet.hw import stream, sums, window
from tercet.hw.geometry import PatchGeometry
from tercet.hw.layer import ConvSpec
from tercet.hw.patch import PatchSpec
from tercet.hw.requant import Requantizer
from tercet.hw.requantizer_spec import RequantizerSpec
from tercet.hw.rom import Rom
from tercet.hw.storage import Kind, ram_storage, rom_storage
from tercet.model.fuzz.draws import random_images
from tercet.model.requant import Requant, Rounding
from windowcheck import check_windows
from windowgen import WINDOWS, window_geometry

BLOCK, LUT = Kind.BLOCK, Kind.LUT


@pytest.mark.parametrize(
    ("rows", "row_bits", "kind"),
    [(64, 1000, LUT), (65, 1000, BLOCK), (65, 16, BLOCK), (1024, 1, LUT), (1025, 1, BLOCK)],
)
def test_a_rom_is_in_blocks_where_it_is_deep_and_large(rows, row_bits, kind):
    storage = rom_storage(rows, row_bits)
    assert (storage.kind, storage.bits, storage.writable) == (kind, rows * row_bits, False)


@pytest.mark.parametrize(
    ("rows", "row_bits", "kind"),
    [
        *((1, 5000, Kind.REGISTER), (2, 1, LUT), (32, 1000, LUT), (33, 1000, BLOCK)),
        *((128, 8, LUT), (129, 8, BLOCK)),
    ],
)
def test_a_ram_is_in_blocks_where_it_is_deep_and_large(rows, row_bits, kind):
    storage = ram_storage(rows, row_bits)
    assert (storage.kind, storage.bits, storage.writable) == (kind, rows * row_bits, True)


@pytest.mark.parametrize(
    ("rows", "row_bits", "beside", "kind"),
    [
        *((200, 12, [(400, 8)], LUT), (200, 12, [(824, 18)], LUT), (200, 12, [(825, 18)], BLOCK)),
        *((200, 18, [(400, 8)], LUT), (200, 19, [(400, 8)], BLOCK), (200, 12, [(400, 19)], BLOCK)),
        (200, 12, [(64, 18)], BLOCK),  # the other is in LUTs
        (200, 12, [(4000, 8), (300, 8)], LUT),  # beside the second
    ],
)
def test_two_roms_take_no_two_blocks_where_one_would_do(rows, row_bits, beside, kind):
    assert rom_storage(rows, row_bits).kind is BLOCK
    others = [rom_storage(*shape) for shape in beside]
    assert rom_storage(rows, row_bits, beside=others).kind is kind


def test_bias_and_scales_make_way_for_the_weights(seed):
    rng = np.random.default_rng(seed)
    geometry = PatchGeometry(height=1, width=1, in_channels=2, kernel=(1, 1), out_channels=200)
    width = 18
    engine = PatchSpec(
        geometry=geometry,
        activation=unsigned(8),
        zero_point=0,
        weights=rng.integers(-128, 128, (200, 1, 1, 2)),
        bias=rng.integers(-2048, 2048, 200),
        accumulator_width=width,
    )
    requantizer = RequantizerSpec(
        requant=Requant(tuple(range(40000, 40200)), 24, Rounding.HALF_UP, 0, 255),
        zero_point=0,
        channels=200,
        accumulator_width=width,
        activation=unsigned(8),
    )
    spec = ConvSpec(engine=engine, requantizer=requantizer)
    kinds = {storage.name: storage.kind for storage in spec.memories if not storage.writable}
    assert kinds == {"engine.weights": BLOCK, "engine.bias": LUT, "requantizer.scales": LUT}


def test_a_constant_holds_nothing():
    rom = Rom(rows=[[3]] * 5000, layout=data.ArrayLayout(signed(8), 1))
    assert (rom.storage.kind, rom.storage.rows, rom.storage.bits) == (Kind.CONSTANT, 5000, 0)


def requantizer(multipliers, offsets):
    return Requantizer(
        RequantizerSpec(
            requant=Requant(multipliers, 20, Rounding.HALF_UP, 0, 255, offsets=offsets),
            zero_point=0,
            channels=100,
            accumulator_width=18,
            activation=unsigned(8),
        )
    )


def test_multipliers_and_offsets_share_one_rom():
    many, offsets = tuple(range(400, 500)), tuple(range(0, 100 << 14, 1 << 14))
    (both,) = requantizer(many, offsets).spec.memories
    assert (both.name, both.rows, both.row_bits, both.kind) == ("scales", 100, 10 + 23, BLOCK)
    (alone,) = requantizer(many, (5,)).spec.memories
    assert (alone.row_bits, alone.kind) == (10, LUT)
    (alone,) = requantizer((7,) * 100, offsets).spec.memories
    assert alone.row_bits == 23
    assert requantizer((7,) * 100, (5,) * 100).spec.memories == ()


class WriteFirst(memory.Memory):
    """A memory that gives the new row where one is read and written at once, not the old one."""

    def write_port(self, **options):
        self._writer = super().write_port(**options)
        return self._writer

    def read_port(self, **options):
        return super().read_port(transparent_for=(self._writer,), **options)


@pytest.fixture
def write_first(monkeypatch):
    def ram(*, shape, storage):
        return WriteFirst(shape=shape, depth=storage.rows, init=[])

    for module in (sums, window, stream):
        monkeypatch.setattr(module, "ram", ram)


@pytest.mark.parametrize(
    "name", ["stride_3", "groups_between_slots", "kernel_of_one_row", "tail_both"]
)
def test_sums_are_not_read_while_they_are_written(write_first, name, seed):
    rng = np.random.default_rng(seed)
    engine, conv, x = build(rng, *SHAPES[name])
    check(engine, conv, x, random_images(rng, x, 3), "both", seed)


@pytest.mark.parametrize("pauses", ["none", "both"])
@pytest.mark.parametrize("name", WINDOWS)
def test_windows_are_not_read_while_they_are_written(write_first, name, pauses, seed):
    check_windows(window_geometry(*WINDOWS[name]), seed, pauses=pauses)


@pytest.mark.parametrize("depth", [3, 4, 7])
def test_queues_are_not_read_while_they_are_written(write_first, depth, seed):
    values = np.random.default_rng(seed).integers(0, 256, 100).tolist()
    for pauses in ("none", "input", "output", "both"):
        fifo = stream.StreamFifo(shape=unsigned(8), depth=depth)
        assert run_streams(fifo, values, 100, pauses=pauses, seed=seed).outputs == values
