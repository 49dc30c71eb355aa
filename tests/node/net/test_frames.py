"""Frames: what the sieve lets in, and long messages in parts."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.errors import Reason, Rejected
from node.net.frames import FRAME_PAYLOAD_MAX, PART_BYTES, FrameScan, Joiner, cut
from node.net.messages import FRAME_BYTES_MAX


def frame(payload: bytes = b"", first: int = 0x82, masked: bool = True) -> bytes:
    length = len(payload)
    if length < 126:
        head = bytes((first, length | masked << 7))
    elif length < 65_536:
        head = bytes((first, 126 | masked << 7)) + struct.pack(">H", length)
    else:
        head = bytes((first, 127 | masked << 7)) + struct.pack(">Q", length)
    return head + (b"\0\0\0\0" if masked else b"") + payload


def refused(data: bytes, *, masked: bool = True, limit: int = 1000) -> Reason:
    with pytest.raises(Rejected) as caught:
        FrameScan(limit, masked=masked).feed(data)
    return caught.value.reason


@given(
    st.lists(st.tuples(st.sampled_from((0x82, 0x88, 0x89, 0x8A)), st.integers(0, 70_000))),
    st.booleans(),
    st.data(),
)
def test_whole_frames_get_through_however_they_are_cut(
    frames: list[tuple[int, int]], masked: bool, data: st.DataObject
) -> None:
    sizes = [(kind, size if kind == 0x82 else size % 126) for kind, size in frames]
    stream = b"".join(frame(bytes(size), kind, masked) for kind, size in sizes)
    scan = FrameScan(70_000, masked=masked)
    controls = position = 0
    while position < len(stream):
        step = data.draw(st.sampled_from((1, 2, 3, 13, 4096, 100_000)))
        if step < 100 and len(stream) - position > 200:
            step = data.draw(st.integers(100, 70_000))
        controls += scan.feed(stream[position : position + step])
        position += step
    assert controls == sum(kind in (0x89, 0x8A) for kind, _ in sizes)


@pytest.mark.parametrize(
    "first",
    [
        0x02,  # the first fragment
        0x00,  # another
        0x80,  # the last
        0x81,  # text
        0x01,
        0x83,  # reserved kinds
        0x8B,
        0xC2,  # compressed
        0xA2,
        0x92,
        0x08,  # a control frame in fragments
        0x09,
    ],
)
def test_what_no_node_sends_is_refused_by_its_first_two_bytes(first: int) -> None:
    assert refused(bytes((first, 0x80))) is Reason.BAD_MESSAGE


def test_frames_are_masked_by_the_dialling_side_alone() -> None:
    assert refused(frame(masked=False)) is Reason.BAD_MESSAGE
    assert refused(frame(), masked=False) is Reason.BAD_MESSAGE


@pytest.mark.parametrize("size", [1001, 65_536, 2**32, 2**63 - 1, 2**64 - 1])
def test_too_long_a_frame_is_refused_by_its_header(size: int) -> None:
    head = struct.pack(">BBQ4s", 0x82, 0xFF, size, b"mask")
    assert refused(head) is Reason.TOO_LARGE


def test_long_control_frames_are_refused() -> None:
    assert refused(bytes((0x89, 0xFE))) is Reason.BAD_MESSAGE


# -- parts -----------------------------------------------------------------------------------------


@given(st.integers(0, 5 * PART_BYTES), st.integers(0, 1))
def test_joining_inverts_cutting(size: int, stream: int) -> None:
    message = b"\x92" + bytes(size)
    joiner = Joiner()
    *first, last = [joiner.add(part) for part in cut(message, stream)]
    assert first == [None] * len(first)
    assert last == message
    assert joiner.bytes_held == 0
    assert all(len(part) <= FRAME_PAYLOAD_MAX for part in cut(message, stream))


def test_two_messages_and_short_ones_may_alternate() -> None:
    urgent, bulky = b"\x92" + b"u" * 3 * PART_BYTES, b"\x92" + b"b" * 3 * PART_BYTES
    joiner, found = Joiner(), []
    for one, other in zip(cut(urgent, 0), cut(bulky, 1), strict=True):
        found += [joiner.add(one), joiner.add(b"\x91\x15"), joiner.add(other)]
    whole = [message for message in found if message is not None]
    assert whole == [b"\x91\x15"] * 3 + [urgent, b"\x91\x15", bulky]


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([b"\xc1"], Reason.BAD_MESSAGE),
        ([b"\xc1\x00"], Reason.BAD_MESSAGE),
        ([b"\xc1\x02" + bytes(PART_BYTES)], Reason.BAD_MESSAGE),
        ([b"\xc1\x00" + bytes(PART_BYTES - 1)], Reason.BAD_MESSAGE),
        ([b"\xc1\x00" + bytes(PART_BYTES + 1)], Reason.BAD_MESSAGE),
        ([b"\xc1\x80" + bytes(10)], Reason.BAD_MESSAGE),
        ([b"\xc1\x00" + bytes(PART_BYTES)] * (FRAME_BYTES_MAX // PART_BYTES + 1), Reason.TOO_LARGE),
    ],
)
def test_parts_that_no_node_sends_are_refused(parts: list[bytes], reason: Reason) -> None:
    joiner = Joiner()
    with pytest.raises(Rejected) as caught:
        for part in parts:
            joiner.add(part)
    assert caught.value.reason is reason
    assert joiner.bytes_held <= FRAME_BYTES_MAX
