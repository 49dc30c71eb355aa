"""The address book: caps, buckets, choice, and what is kept."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.errors import Reason, Rejected
from node.net.addresses import Address, Reach, parse_address, parse_place, reach_of
from node.net.book import NEW_BUCKETS, Book, decode_book
from node.net.network import PeerId

ME = PeerId(b"\0" * 20)
NOW = 1_000_000.0


def book(addresses_max: int = 4096, seed: int = 1) -> Book:
    return Book(ME, bytes(32), Random(seed), addresses_max)


def at(number: int, host: str, port: int = 30656) -> Address:
    return Address(PeerId(number.to_bytes(20, "big")), host, port)


def test_one_source_fills_only_its_few_buckets() -> None:
    """Given an honest set of addresses, when one host tells of thousands more, then
    the honest ones are still there, and the liar's are few."""
    found = book()
    honest = [at(n, f"{11 + n}.1.2.3") for n in range(1, 60)]
    for address in honest:
        found.add(address, address.host, NOW)
    for n in range(5_000):
        found.add(at(1000 + n, f"{80 + n % 40}.{n // 200 % 200}.{n % 200}.9"), "99.1.2.3", NOW + n)
    kept = {address.node for address in found.sample(10_000, Reach.PUBLIC, ME)}
    assert len(kept) <= 59 + 16 * 32
    assert sum(address.node in kept for address in honest) >= 50


def test_a_subnet_has_few_addresses_and_this_machine_any_number() -> None:
    found = book()
    for n in range(1, 250):
        found.add(at(n, f"11.1.2.{n}"), "11.1.2.3", NOW)
    assert len(found) == 16
    for n in range(1, 250):
        found.add(at(1000 + n, f"12.1.{n}.1"), f"{20 + n % 100}.1.1.1", NOW)
    assert len(found) == 16 + 64
    for n in range(1, 250):
        found.add(at(2000 + n, "127.0.0.1", n), "127.0.0.1", NOW)
    assert len(found) == 16 + 64 + 249


def test_nobody_on_the_internet_speaks_of_our_own_network() -> None:
    found = book()
    for host in ("127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "::1", "fe80::1"):
        assert not found.add(at(1, host), "11.1.2.3", NOW)
    for host in ("0.0.0.0", "224.0.0.1", "example.com", "::"):
        assert not found.add(at(1, host), "127.0.0.1", NOW)
    assert not found.add(Address(ME, "11.1.1.1", 1), "11.1.2.3", NOW)
    assert found.add(at(1, "10.0.0.1"), "10.0.0.2", NOW)


def test_hearsay_does_not_move_a_node_that_was_reached() -> None:
    found = book()
    found.succeeded(at(1, "11.1.1.1"), NOW)
    assert not found.add(at(1, "12.1.1.1"), "12.1.1.1", NOW)
    assert found.pick(set()) == at(1, "11.1.1.1")
    found.succeeded(at(1, "12.1.1.1"), NOW)
    assert found.pick(set()) == at(1, "12.1.1.1")
    assert len(found) == found.tried == 1


def test_an_address_where_nobody_is_is_forgotten() -> None:
    found = book()
    found.add(at(1, "11.1.1.1"), "11.1.1.1", NOW)
    found.succeeded(at(2, "12.1.1.1"), NOW)
    for _ in range(5):
        found.failed(at(1, "11.1.1.1"), NOW)
        found.failed(at(2, "12.1.1.1"), NOW)
    assert len(found) == found.tried == 1
    found.failed(at(2, "12.1.1.1"), NOW + 31 * 86_400)
    assert len(found) == 0


def test_private_addresses_are_told_to_private_peers_alone() -> None:
    found = book()
    found.add(at(1, "10.1.1.1"), "10.1.1.1", NOW)
    found.add(at(2, "11.1.1.1"), "10.1.1.1", NOW)
    found.add(at(3, "127.0.0.1"), "127.0.0.1", NOW)
    told = {
        reach: sorted(int.from_bytes(address.node, "big") for address in found.sample(9, reach, ME))
        for reach in Reach
    }
    assert told == {Reach.LOOPBACK: [1, 2, 3], Reach.PRIVATE: [1, 2], Reach.PUBLIC: [2]}


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(("add", "succeed", "fail", "forget")),
            st.integers(1, 60),
            st.sampled_from(("11.1.1.1", "11.1.2.1", "12.9.9.9", "127.0.0.1", "2600:1::5")),
        ),
        max_size=150,
    )
)
def test_the_book_stays_in_its_limit_and_survives_being_stored(
    steps: list[tuple[str, int, str]],
) -> None:
    found = book(addresses_max=24)
    for step, number, host in steps:
        match step:
            case "add":
                found.add(at(number, host), host, NOW)
            case "succeed":
                found.succeeded(at(number, host), NOW)
            case "fail":
                found.failed(at(number, host), NOW)
            case "forget":
                found.forget(at(number, host).node)
        assert len(found) <= 24
    again = Book(ME, b"\1" * 32, Random(2), 24)
    again.restore(decode_book(found.encode()))
    told = [sorted(one.sample(100, Reach.LOOPBACK, ME)) for one in (found, again)]
    assert told[0] == told[1]
    assert (len(again), again.tried) == (len(found), found.tried)
    assert again.pick({address.node for address in told[1]}) is None or len(again) > len(told[1])


def test_the_same_seed_picks_the_same() -> None:
    picks = []
    for _ in range(2):
        found = book(seed=7)
        for n in range(1, 100):
            found.add(at(n, f"{11 + n}.1.1.1"), f"{11 + n % 9}.1.1.1", NOW)
        picks.append([found.pick(set()) for _ in range(20)])
    assert picks[0] == picks[1]
    assert len(set(picks[0])) > 5
    assert NEW_BUCKETS == 256


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"secret": "zz", "addresses": []}'])
def test_a_file_that_is_no_book_is_refused(data: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        decode_book(data)
    assert caught.value.reason is Reason.BAD_SETTING


# -- addresses -------------------------------------------------------------------------------------

NODE = "ab" * 20


@pytest.mark.parametrize(
    "text",
    [f"{NODE}@127.0.0.1:1", f"{NODE}@node-1.example.com:65535", f"{NODE}@[2600::1]:30656"],
)
def test_an_address_reads_back_as_it_is_written(text: str) -> None:
    assert str(parse_address(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        NODE,
        f"{NODE}@",
        f"{NODE}@host",
        f"{NODE}@host:0",
        f"{NODE}@host:65536",
        f"{NODE}@host:+1",
        f"{NODE}@:1",
        f"{NODE}@a b:1",
        f"{NODE}@user@host:1",
        f"{NODE}@host/path:1",
        f"{NODE}@::1:1",
        f"{NODE}@[nobody]:1",
        f"{NODE[:-1]}@host:1",
        f"{NODE[:-1]}g@host:1",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Rejected) as caught:
        parse_address(text)
    assert caught.value.reason is Reason.BAD_PEER_ADDRESS


def test_a_mapped_ipv4_address_is_that_address() -> None:
    assert reach_of("::ffff:127.0.0.1") is Reach.LOOPBACK
    assert reach_of("::ffff:10.0.0.1") is Reach.PRIVATE
    assert parse_place("host", 5) == ("host", 5)
