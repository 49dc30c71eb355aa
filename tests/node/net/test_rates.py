"""How fast a peer may talk, and which frames are any message's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.errors import Reason, Rejected
from node.net import messages
from node.net.messages import Message, Ping, Status, encode_message
from node.net.rates import KINDS, Bucket, Rates, kind_of, kind_of_frame


def test_every_kind_of_message_has_its_limits() -> None:
    assert set(KINDS) == set(Message.__args__)


def test_a_frame_is_known_by_its_first_bytes() -> None:
    for message in (Ping(2**32 - 1), Status(0, 1, 2, bytes(32), b"", b"")):
        assert kind_of_frame(encode_message(message)) is kind_of(message)


@pytest.mark.parametrize("frame", [b"", b"\x92", b"\x92\x63", b"\xdc\x00\x02\x15", b"\x81\x15\x01"])
def test_other_frames_are_refused_before_they_are_decoded(frame: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        kind_of_frame(frame)
    assert caught.value.reason is Reason.BAD_MESSAGE


def test_the_longest_message_of_each_short_kind_fits_its_limit() -> None:
    longest = [
        messages.Votes((bytes(512),) * 256),
        messages.Evidence(bytes(512), bytes(512)),
        messages.Status(2**63 - 1, 2**63 - 1, 2**63 - 1, bytes(32), bytes(128 * 2**10), bytes(128)),
        messages.GetCertificates(2**32 - 1, 2**63 - 1, 2**63 - 1, 2**63 - 1),
        messages.GetBlockTransactions(2**32 - 1, bytes(32), (65_535,) * 65_536),
        messages.TransactionHashes((bytes(32),) * 4096, (2**24,) * 4096),
        messages.GetTransactions(2**32 - 1, (bytes(32),) * 1024),
        messages.GetBlock(2**32 - 1, bytes(32)),
        messages.GetHeaders(2**32 - 1, 2**63 - 1, 512),
        messages.GetBodies(2**32 - 1, 2**63 - 1, 128),
        messages.Peers(2**32 - 1, (messages.PeerAddress(bytes(20), "h" * 253, 65_535),) * 64),
        messages.Goodbye("r" * 256, "d" * 256),
        messages.Ping(2**32 - 1),
    ]
    for message in longest:
        frame = encode_message(message)
        assert kind_of_frame(frame) is kind_of(message)
        assert messages.decode_message(frame) == message


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 100))), st.integers(1, 50))
def test_no_more_than_burst_and_rate_is_taken_by_who_waits_as_told(
    takes: list[tuple[float, int]], rate: int
) -> None:
    now = taken = 0.0
    bucket = Bucket(rate, 200, now)
    for pause, tokens in takes:
        now += pause
        wait = bucket.take(tokens, now)
        assert wait >= 0
        taken += tokens
        now += wait
        assert taken <= 200 + rate * now + 1e-6


def test_an_honest_burst_is_no_offence_and_a_steady_flood_is() -> None:
    rates = Rates(2**20, 0.0)
    ping = KINDS[Ping]
    assert all(rates.message_came(ping, 0.0) == 0 for _ in range(100))
    assert not rates.flooded()
    now = 0.0
    offences = 0
    for _ in range(100):
        now += rates.message_came(ping, now)
        offences += rates.flooded()
    assert 2 <= offences <= 5
