"""The contract ABI: values there and back, hostile data, and what reverts say."""

import pytest
from eth_abi import encode as other_encode
from hypothesis import given, settings
from hypothesis import strategies as st

from chain import abi
from chain.errors import Reason, Rejected
from chain.types import Address


def _simple():
    bits = st.integers(1, 32).map(lambda size: 8 * size)
    return st.one_of(
        bits.map(lambda n: (f"uint{n}", st.integers(0, 2**n - 1))),
        bits.map(lambda n: (f"int{n}", st.integers(-(2 ** (n - 1)), 2 ** (n - 1) - 1))),
        st.integers(1, 32).map(lambda n: (f"bytes{n}", st.binary(min_size=n, max_size=n))),
        st.just(("address", st.binary(min_size=20, max_size=20))),
        st.just(("bool", st.booleans())),
        st.just(("bytes", st.binary(max_size=70))),
        st.just(("string", st.text(max_size=40))),
    )


def _compound(inner):
    def array(item):
        return (f"{item[0]}[]", st.lists(item[1], max_size=3).map(tuple))

    def fixed(item):
        return (f"{item[0]}[2]", st.tuples(item[1], item[1]))

    def together(items):
        names = ",".join(name for name, _ in items)
        return (f"({names})", st.tuples(*(values for _, values in items)))

    parts = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(inner.map(array), inner.map(fixed), parts.map(together))


TYPES = st.recursive(_simple(), _compound, max_leaves=6)


@settings(deadline=None)
@given(st.lists(TYPES, min_size=1, max_size=3), st.data())
def test_values_come_back_and_another_library_encodes_them_alike(types, data):
    names = [name for name, _ in types]
    values = tuple(data.draw(strategy) for _, strategy in types)
    encoded = abi.encode(names, values)
    assert encoded == other_encode(names, values)
    assert abi.decode(names, encoded) == values
    assert abi.decode(names, encoded + b"more") == values


@settings(deadline=None)
@given(TYPES, st.binary(max_size=400))
def test_any_data_is_refused_or_decoded(kind, data):
    try:
        abi.decode([kind[0]], data)
    except Rejected as error:
        assert error.reason is Reason.BAD_ABI


def test_a_transfer_is_called_as_every_token_knows_it():
    to = Address(b"\x11" * 20)
    call = abi.encode_call("transfer(address,uint256)", to, 5)
    assert call.hex() == "a9059cbb" + "00" * 12 + "11" * 20 + f"{5:064x}"
    assert abi.decode_call("transfer(address,uint256)", call) == (to, 5)
    with pytest.raises(Rejected) as caught:
        abi.decode_call("approve(address,uint256)", call)
    assert caught.value.reason is Reason.BAD_ABI
    assert abi.encode_call("totalSupply()") == abi.selector("totalSupply()")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "uint7",
        "uint264",
        "int0",
        "bytes0",
        "bytes33",
        "bytes32x",
        "()",
        "(uint8,)",
        "(uint8",
        "uint8)",
        "uint8[",
        "uint8]",
        "]",
        "uint8[0]",
        "uint8[-1]",
        "uint8[1e9]",
        "uint8[99999999999]",
        "uint256[1000000][1000000]",
        "uint256" + "[]" * 40,
        "(" * 40 + "uint8" + ")" * 40,
    ],
)
def test_what_is_no_type_is_refused(name):
    with pytest.raises(Rejected) as caught:
        abi.decode([name], bytes(64))
    assert caught.value.reason is Reason.BAD_ABI


@pytest.mark.parametrize("signature", ["transfer", "f(uint256", "f(uint256))", "f(uint256)x"])
def test_what_is_no_signature_is_refused(signature):
    with pytest.raises(Rejected) as caught:
        abi.encode_call(signature, 1)
    assert caught.value.reason is Reason.BAD_ABI


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint8", 256),
        ("uint8", -1),
        ("uint8", True),
        ("uint8", "1"),
        ("int8", 128),
        ("int8", -129),
        ("bool", 1),
        ("address", bytes(19)),
        ("address", "0x" + "00" * 20),
        ("bytes4", b"abc"),
        ("bytes", "text"),
        ("string", b"bytes"),
        ("uint8[2]", [1]),
        ("uint8[]", 1),
        ("(uint8,bool)", [1]),
    ],
)
def test_a_value_that_is_not_of_its_type_is_refused(kind, value):
    with pytest.raises(Rejected) as caught:
        abi.encode([kind], [value])
    assert caught.value.reason is Reason.BAD_ABI


WORD = (1).to_bytes(32, "big")
FULL = b"\xff" * 32


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("uint256", WORD[:31]),
        ("uint8", FULL),
        ("int8", (128).to_bytes(32, "big")),
        ("bool", (2).to_bytes(32, "big")),
        ("address", FULL),
        ("bytes4", b"abcde".ljust(32, b"\0")),
        ("string", FULL),
        ("string", (32).to_bytes(32, "big")),
        ("string", (32).to_bytes(32, "big") + FULL),
        ("string", (32).to_bytes(32, "big") + (5).to_bytes(32, "big") + b"four"),
        ("uint8[]", (32).to_bytes(32, "big") + (2).to_bytes(32, "big") + WORD),
        ("uint8[]", (32).to_bytes(32, "big") + FULL),
    ],
)
def test_data_that_is_not_of_its_type_is_refused(kind, data):
    with pytest.raises(Rejected) as caught:
        abi.decode([kind], data)
    assert caught.value.reason is Reason.BAD_ABI


def test_data_that_points_into_itself_again_and_again_is_refused_soon():
    """Given arrays whose items are all the same one, level upon level, then work is bounded."""
    level = (50).to_bytes(32, "big") + (32 * 50).to_bytes(32, "big") * 50
    last = (50).to_bytes(32, "big") + bytes(32 * 50)
    for depth in (3, 5, 8):
        data = (32).to_bytes(32, "big") + level * (depth - 1) + last
        with pytest.raises(Rejected) as caught:
            abi.decode(["uint256" + "[]" * depth], data)
        assert caught.value.reason is Reason.BAD_ABI
    shared = (32).to_bytes(32, "big") + (2).to_bytes(32, "big") + (64).to_bytes(32, "big") * 2
    assert abi.decode(["uint256[][]"], shared + last) == (((0,) * 50, (0,) * 50),)


def test_reverts_say_why():
    error = abi.encode_call("Error(string)", "not enough")
    assert abi.decode_revert(error) == "not enough"
    panic = abi.encode_call("Panic(uint256)", 0x11)
    assert abi.decode_revert(panic) == "arithmetic underflow or overflow"
    assert abi.decode_revert(abi.encode_call("Panic(uint256)", 0xBEEF)) == (
        "unknown panic code: 0xbeef"
    )
    for other in (b"", error[:4], error[:40], b"\1\2\3\4" + error[4:], panic[:10]):
        assert abi.decode_revert(other) is None


def test_packed_values_have_no_padding_but_in_arrays():
    """Given the example of Solidity's documentation."""
    packed = abi.encode_packed(
        ["int16", "bytes1", "uint16", "string"], [-1, b"\x42", 3, "Hello, world!"]
    )
    assert packed.hex() == "ffff42000348656c6c6f2c20776f726c6421"
    assert abi.encode_packed(["uint8[]", "bool"], [[1, 2], True]).hex() == (f"{1:064x}{2:064x}01")
    for kind, value in (("(uint8)", [1]), ("string[]", ["a"]), ("uint8[2]", [1]), ("uint8", 256)):
        with pytest.raises(Rejected) as caught:
            abi.encode_packed([kind], [value])
        assert caught.value.reason is Reason.BAD_ABI
