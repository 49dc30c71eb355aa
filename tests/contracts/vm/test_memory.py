"""Memory, copies, hashing, logs: contents, padding and bounds."""

from hypothesis import given
from hypothesis import strategies as st

from chain.crypto.keccak import keccak
from chain.machine import Halt
from tests.contracts.vm.laboratory import OTHER, TARGET, View, assemble, run

small = st.integers(0, 100)


@given(st.binary(max_size=80), small, small, small)
def test_calldata_is_copied_with_zeros_after_its_end(data, to, offset, size):
    result = run(f"{size} {offset} {to} CALLDATACOPY 256 0 RETURN", data=data)
    memory = bytearray(256)
    memory[to : to + size] = data[offset : offset + size].ljust(size, b"\0")
    assert result.outcome.output == memory


@given(st.binary(min_size=96, max_size=96), small, small, small)
def test_memory_is_copied_as_if_through_a_buffer(data, to, source, size):
    """Given overlapping ranges, when MCOPY copies, then every byte is the old one."""
    result = run(f"96 0 0 CALLDATACOPY {size} {source} {to} MCOPY 256 0 RETURN", data=data)
    memory = bytearray(data.ljust(256, b"\0"))
    memory[to : to + size] = bytes(memory[source : source + size])
    assert result.outcome.output == memory


@given(st.binary(max_size=80), st.one_of(small, st.sampled_from([2**64, 2**256 - 1])))
def test_calldata_words_are_padded_with_zeros(data, offset):
    piece = data[offset : offset + 32].ljust(32, b"\0")
    result = run(f"{offset} CALLDATALOAD 0 MSTORE 32 0 RETURN", data=data)
    assert result.outcome.output == piece


@given(st.binary(max_size=80), small)
def test_keccak_hashes_memory(data, size):
    result = run(f"80 0 0 CALLDATACOPY {size} 0 KECCAK256 0 MSTORE 32 0 RETURN", data=data)
    assert result.outcome.output == keccak(data.ljust(100, b"\0")[:size])


def test_words_and_bytes_are_stored_big_endian():
    assert run("0x1122 0 MSTORE 32 0 RETURN").word == 0x1122
    assert run("0x1122 0 MSTORE8 32 0 RETURN").outcome.output == b"\x22" + bytes(31)
    assert run("0xff 3 MSTORE 0 MLOAD 0 MSTORE 3 32 RETURN").outcome.output == b"\0\0\xff"


def test_memory_grows_in_words():
    assert run("1 31 MSTORE8 MSIZE 0 MSTORE 32 0 RETURN").word == 32
    assert run("1 32 MSTORE8 MSIZE 0 MSTORE 32 0 RETURN").word == 64
    assert run("0 0 KECCAK256 MSIZE 0 MSTORE 32 0 RETURN").word == 0


def test_code_can_be_read_by_its_owner_and_by_others():
    view = View().put(OTHER, code=b"\x5b\x5b\x00")
    other = int.from_bytes(OTHER, "big")
    code = f"3 0 0 {other} EXTCODECOPY {other} EXTCODESIZE 32 MSTORE 64 0 RETURN"
    output = run(code, view=view).outcome.output
    assert output[:3] == b"\x5b\x5b\x00" and output[-1] == 3
    own = assemble("CODESIZE 0 0 CODECOPY CODESIZE 0 RETURN")
    assert run(own).outcome.output == own


def test_return_data_can_be_read_but_not_beyond_its_end():
    """The callee returns 64 bytes; the caller reads the second half, then one byte too many."""
    view = View().put(OTHER, code=assemble("7 32 MSTORE 64 0 RETURN"))
    call = f"0 0 0 0 {int.from_bytes(OTHER, 'big')} 50000 STATICCALL POP "
    result = run(call + "32 32 0 RETURNDATACOPY RETURNDATASIZE 32 MSTORE 64 0 RETURN", view=view)
    assert result.words == [7, 64]
    assert run(call + "32 33 0 RETURNDATACOPY", view=view).halt is Halt.RETURN_DATA_OUT_OF_BOUNDS
    assert run(call + "0 64 0 RETURNDATACOPY", view=view).halt is None
    assert run(call + "0 65 0 RETURNDATACOPY", view=view).halt is Halt.RETURN_DATA_OUT_OF_BOUNDS
    assert run("0 0 0 RETURNDATACOPY").halt is None
    assert run("1 0 0 RETURNDATACOPY").halt is Halt.RETURN_DATA_OUT_OF_BOUNDS


def test_logs_have_address_topics_and_data():
    result = run("0xabcd 0 MSTORE 4 3 2 1 2 30 LOG4 0 0 LOG0")
    first, second = result.state.logs
    assert (first.address, first.data) == (TARGET, b"\xab\xcd")
    assert [int.from_bytes(topic, "big") for topic in first.topics] == [1, 2, 3, 4]
    assert (second.topics, second.data) == ((), b"")


def test_logs_of_a_failed_message_are_gone():
    assert run("0 0 LOG0 0 0 REVERT").state.logs == []
    assert run("0 0 LOG0 INVALID").state.logs == []
