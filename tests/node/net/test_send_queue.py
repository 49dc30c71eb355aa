"""What is sent first, and how much may wait."""

from hypothesis import given
from hypothesis import strategies as st

from node.net.frames import PART_BYTES, Joiner
from node.net.rates import BLOCKS, BULK, TRANSACTIONS, URGENT
from node.net.send_queue import SendQueue

LONG = b"\x92" + b"l" * (3 * PART_BYTES)


def drained(queue: SendQueue) -> list[bytes]:
    frames = []
    while (frame := queue.take()) is not None:
        frames.append(frame)
    return frames


def test_a_vote_waits_for_no_more_than_one_part_of_a_body() -> None:
    queue = SendQueue(10 * 2**20)
    assert queue.put(BULK, LONG)
    first = queue.take()
    assert first is not None
    assert first[:1] == b"\xc1"
    assert queue.put(URGENT, b"\x91vote")
    assert queue.take() == b"\x91vote"


def test_a_long_proposal_goes_before_a_body_and_a_vote_before_both() -> None:
    queue = SendQueue(10 * 2**20)
    queue.put(BULK, LONG)
    queue.take()
    queue.put(URGENT, LONG)
    queue.put(URGENT, b"\x91vote")
    frames = drained(queue)
    assert frames[0] == b"\x91vote"
    assert [frame[1] & 1 for frame in frames[1:]] == [0, 0, 0, 0, 1, 1, 1]


def test_short_messages_do_not_starve_a_long_one() -> None:
    queue = SendQueue(10 * 2**20)
    queue.put(BULK, LONG)
    for _ in range(100):
        queue.put(TRANSACTIONS, b"\x91t")
    assert sum(frame[:1] == b"\xc1" for frame in drained(queue)[:10]) == 4


def test_bulk_leaves_room_for_votes() -> None:
    queue = SendQueue(1000)
    while queue.put(BULK, bytes(10)):
        pass
    assert queue.bytes_held <= 750
    assert not queue.put(TRANSACTIONS, bytes(10))
    assert queue.put(URGENT, bytes(10))
    while queue.put(URGENT, bytes(10)):
        pass
    assert queue.bytes_held <= 1000


@given(
    st.lists(
        st.tuples(st.sampled_from((URGENT, BLOCKS, TRANSACTIONS, BULK)), st.integers(1, 200_000)),
        max_size=30,
    )
)
def test_everything_arrives_once_in_order_among_its_like_and_nothing_is_left(
    puts: list[tuple[int, int]],
) -> None:
    queue, joiner = SendQueue(2**30), Joiner()
    sent = []
    for number, (level, size) in enumerate(puts):
        message = b"\x91" + bytes((level, number)) + bytes(size)
        assert queue.put(level, message)
        sent.append(message)
    found = [whole for frame in drained(queue) if (whole := joiner.add(frame)) is not None]
    assert sorted(found) == sorted(sent)
    assert queue.bytes_held == 0
    for level in (URGENT, BLOCKS, TRANSACTIONS, BULK):
        for short in (False, True):
            like = [
                message
                for message in found
                if message[1] == level and (len(message) <= PART_BYTES) is short
            ]
            assert like == [message for message in sent if message in like]
