"""Integer types: names, ranges, membership, and the width of a number."""

import numpy as np
import pytest
from tercet.model.dtypes import INT32, IntType, signed_width


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", range(1, 33))
def test_the_range_has_two_to_the_bits_values_and_the_numpy_type_holds_it(bits, signed):
    dtype = IntType(bits, signed)
    assert dtype.qmax - dtype.qmin + 1 == 1 << bits
    assert dtype.qmin == (-(1 << bits) // 2 if signed else 0)
    limits = np.iinfo(dtype.numpy)
    assert limits.min <= dtype.qmin
    assert dtype.qmax <= limits.max
    assert dtype.numpy.itemsize == (1 if bits <= 8 else 2 if bits <= 16 else 4)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", range(1, 33))
def test_parse_reads_what_str_writes(bits, signed):
    dtype = IntType(bits, signed)
    assert str(dtype) == f"{'' if signed else 'u'}int{bits}"
    assert IntType.parse(str(dtype)) == dtype


@pytest.mark.parametrize(
    "name",
    ["", "int", "int0", "int08", "uint-8", " int8", "int8 ", "int8\n", "Int8", "float8", "8"],
)
def test_parse_refuses_any_other_text(name):
    with pytest.raises(ValueError) as caught:
        IntType.parse(name)
    assert str(caught.value) == f"An integer type is named like uint8 or int12, not {name!r}"


@pytest.mark.parametrize("bits", [-1, 0, 33, 99])
def test_a_type_has_1_to_32_bits(bits):
    with pytest.raises(ValueError, match=rf"^An integer type must have 1 to 32 bits, not {bits}$"):
        IntType(bits, signed=True)


def test_int32_is_int32():
    assert (INT32.qmin, INT32.qmax) == (-(1 << 31), (1 << 31) - 1)


def test_contains_looks_at_both_ends():
    uint4 = IntType(4, signed=False)
    assert uint4.contains(0)
    assert uint4.contains([[0, 15], [7, 3]])
    assert uint4.contains([])
    assert not uint4.contains([3, 16])
    assert not uint4.contains([-1, 3])
    assert not INT32.contains(np.array([1 << 31], dtype=np.uint64))


WIDTHS = [
    *[(0, 0, 1), (-1, 0, 1), (0, 1, 2), (-2, 1, 2), (-3, 1, 3), (0, 127, 8), (0, 128, 9)],
    *[(-128, 0, 8), (-129, 0, 9), (-(1 << 31), (1 << 31) - 1, 32), (5, 6, 4), (-6, -5, 4)],
]


@pytest.mark.parametrize(("lo", "hi", "bits"), WIDTHS)
def test_signed_width_by_hand(lo, hi, bits):
    assert signed_width(lo, hi) == bits


def test_signed_width_is_the_fewest_bits_that_hold_both():
    for lo in range(-40, 41):
        for hi in range(lo, 41):
            bits = next(b for b in range(1, 9) if -(1 << b) // 2 <= lo and hi < (1 << b) // 2)
            assert signed_width(lo, hi) == bits
