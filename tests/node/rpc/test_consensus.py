"""ledger_: what is said about agreement can be checked without trusting who says it."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from chain.blocks import decode_header, header_hash
from chain.crypto.secp256k1 import address_of
from chain.types import Address, Hash
from chain.validators import (
    Ballot,
    Certificate,
    Domain,
    Validator,
    VoteKind,
    check_certificate,
    decode_certificate,
    decode_record,
    record_hash,
    validator_set,
)
from node.__main__ import Exit, main
from node.commands import ask
from node.rpc.consensus import signers_of
from tests.node.rpc.serving import ACCOUNTS, Served


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """One validator, two blocks."""
    with Served() as served:
        for _ in range(2):
            served.send(to="0x" + "11" * 20, value="0x1")
        yield served


def raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def test_a_block_is_proved_final_from_the_answer_alone(served: Served) -> None:
    """Header, record, certificate and validators fit together, whoever sent them."""
    found: dict[str, Any] = served.call("ledger_finality", "0x1")
    genesis = Hash(raw(served.call("eth_getBlockByNumber", "0x0", False)["hash"]))
    headers = [decode_header(raw(text)) for text in found["headers"]]
    assert header_hash(headers[0]) == raw(found["hash"])
    for parent, child in pairwise(headers):
        assert child.parent_hash == header_hash(parent)
    record = decode_record(raw(found["record"]["raw"]))
    assert record_hash(record) == headers[0].parent_beacon_root
    answer = served.call("ledger_validators", hex(int(found["certifiedHeight"], 16) - 1))
    members = validator_set(
        [
            Validator(Address(raw(item["address"])), int(item["power"], 16))
            for item in answer["validators"]
        ]
    )
    assert members.hash == record.validators_hash == raw(answer["hash"])
    certificate = decode_certificate(raw(found["certificate"]["raw"]))
    domain = Domain(31337, genesis)
    check_certificate(certificate, members, domain)
    assert certificate.ballot.block_hash == header_hash(headers[-1])
    assert raw(found["certificate"]["signHash"]) == domain.sign_hash(certificate.ballot)
    assert found["certificate"]["power"] == answer["totalPower"] == "0x1"


def test_genesis_has_no_votes_and_the_unknown_no_answer(served: Served) -> None:
    assert served.call("ledger_finality", "0x0") is None
    assert served.call("ledger_finality", "0xffff") is None


def test_the_status_says_where_agreement_is(served: Served) -> None:
    status = served.call("ledger_consensusStatus")
    me = "0x" + next(iter(ACCOUNTS)).hex()
    assert status["validator"] == status["leader"] == me
    assert status["height"] == served.call("eth_blockNumber")
    assert int(status["view"], 16) > int(status["height"], 16) - 1
    assert status["missing"] == [] and status["missingPower"] == "0x0"
    assert int(status["finalityMsP50"], 16) <= int(status["finalityMsP99"], 16)


def test_the_command_shows_the_validators(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{served.port}"
    assert main(["validators", "--rpc-url", url]) == Exit.OK
    shown = capsys.readouterr().out
    assert "0x" + next(iter(ACCOUNTS)).hex() in shown and "100.0%" in shown
    assert main(["validators", "--rpc-url", url, "--block", "77"]) == 1
    assert "header not found" in capsys.readouterr().err


def test_asking_nobody_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validators", "--rpc-url", "http://127.0.0.1:9"]) == Exit.USAGE
    shown = capsys.readouterr().err
    assert "no node answers at http://127.0.0.1:9" in shown and shown.count("\n") == 1


@pytest.mark.parametrize("arguments", [["add"], ["list", "x"], ["ban"]])
def test_an_order_about_peers_names_one(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["peers", *arguments]) == Exit.USAGE
    assert "peer" in capsys.readouterr().err


def test_the_bitmap_names_the_signers() -> None:
    keys = [bytes([number]) * 32 for number in (1, 2, 3)]
    members = validator_set([Validator(address_of(key), 5) for key in keys])
    ballot = Ballot(VoteKind.FINALIZE, 0, 1, Hash(bytes(32)), 0)
    certificate = Certificate(ballot, bytes([0b101]), (b"", b""))
    ordered = members.validators
    assert signers_of(certificate, members) == [
        (ordered[0].address, 5),
        (ordered[2].address, 5),
    ]


def test_who_is_banned_is_a_table_for_people() -> None:
    bans = [{"who": "00" * 20, "until": None, "reason": "by the operator"}]
    assert ask._ban_table([]) == "nobody is banned"
    assert ask._ban_table(bans).splitlines()[1].split()[1:3] == ["for", "ever"]
