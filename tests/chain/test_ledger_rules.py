"""Our own rules of a ledger: how a genesis states them, and what blocks they allow."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chain import forks, headers
from chain.activation import ChainConfig, with_rules
from chain.blocks import Block, Header, Withdrawal, withdrawals_root
from chain.commitment import commit
from chain.crypto.hd import derive_keys
from chain.crypto.secp256k1 import address_of
from chain.errors import Reason, Rejected
from chain.execution import BlockBuilder, Executed, apply_block
from chain.genesis import (
    DEV_MNEMONIC,
    Genesis,
    GenesisAccount,
    genesis_block,
    new_genesis,
    parse_genesis,
)
from chain.headers import check_header
from chain.json_values import Key
from chain.ledger_rules import (
    HEIGHTS_MAX,
    MILLISECONDS_MAX,
    GenesisValidator,
    LedgerRules,
    ledger_json,
    parse_ledger_rules,
)
from chain.transactions import build_transaction, sign_transaction
from chain.types import ZERO_HASH, Address, Hash
from chain.validation import check_transaction
from chain.validators import POWER_MAX, VALIDATORS_MAX
from chain.views import EmptyView, Overlay, TrieView
from contracts.vm import Interpreter

KEYS = derive_keys(DEV_MNEMONIC, 2)
SENDER, FOREIGN = map(address_of, KEYS)
TO = Address(b"\x22" * 20)
LEADER = Address(b"\xcc" * 20)
TREASURY = Address(b"\xfe" * 20)
VALIDATORS = (GenesisValidator(LEADER, 1),)
MACHINE = Interpreter()
TIME = 1_800_000_000
MERGED = {"terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0}

ADDRESSES = st.binary(min_size=20, max_size=20).filter(any).map(Address)
ALLOWED = st.lists(ADDRESSES, unique=True, max_size=4).map(tuple)


@st.composite
def any_rules(draw: st.DrawFn) -> LedgerRules:
    age = draw(st.integers(1, HEIGHTS_MAX))
    return LedgerRules(
        validators=tuple(
            GenesisValidator(address, draw(st.integers(1, 2**50)))
            for address in draw(st.lists(ADDRESSES, unique=True, max_size=5))
        ),
        block_interval_ms=draw(st.integers(0, MILLISECONDS_MAX)),
        empty_blocks=draw(st.booleans()),
        heartbeat_ms=draw(st.integers(0, MILLISECONDS_MAX)),
        epoch_length=draw(st.integers(0, HEIGHTS_MAX)),
        free=draw(st.booleans()),
        fee_recipient=draw(st.none() | ADDRESSES),
        allowed_senders=draw(ALLOWED),
        allowed_nodes=draw(ALLOWED),
        evidence_age=age,
        unbonding=draw(st.integers(age + 1, 2 * HEIGHTS_MAX)),
    )


def ledger(rules: LedgerRules, balance: int = 10**24) -> Genesis:
    alloc = {SENDER: GenesisAccount(balance), FOREIGN: GenesisAccount(balance)}
    return new_genesis(7, alloc=alloc, rules=rules)


def section(**rules: Any) -> dict[str, Any]:
    source: dict[str, Any] = {
        "config": {"chainId": 7, "ledger": rules} | MERGED,
        "gasLimit": 30_000_000,
        "difficulty": 0,
        "alloc": {},
    }
    return source


def refusal_of(**rules: Any) -> str:
    with pytest.raises(Rejected) as caught:
        parse_genesis(section(**rules))
    assert caught.value.reason is Reason.BAD_GENESIS
    return caught.value.detail


# -- reading ---------------------------------------------------------------------------------------


@given(any_rules())
def test_reading_inverts_writing(rules: LedgerRules) -> None:
    assert parse_ledger_rules(Key(ledger_json(rules))) == rules
    assert ledger(rules).config.ledger == rules
    assert parse_genesis(ledger(rules).source).config == ledger(rules).config


def test_a_section_that_says_nothing_gives_the_defaults() -> None:
    assert parse_genesis(section()).config.ledger == LedgerRules()


def test_every_rule_is_read() -> None:
    address, other = "0x" + "01" * 20, "0x" + "02" * 20
    found = parse_genesis(
        section(
            validators=[{"address": address, "power": "0x5"}],
            blockIntervalMs=250,
            emptyBlocks=False,
            heartbeatMs="30000",
            epochLength=100,
            free=True,
            feeRecipient=other,
            allowedSenders=[address],
            allowedNodes=[other, address],
            evidenceAge=10,
            unbonding=11,
        )
    ).config.ledger
    one, two = Address(b"\x01" * 20), Address(b"\x02" * 20)
    assert found == LedgerRules(
        (GenesisValidator(one, 5),), 250, False, 30_000, 100, True, two, (one,), (two, one), 10, 11
    )


def test_unbonding_is_by_default_twice_the_age_of_evidence() -> None:
    assert parse_genesis(section(evidenceAge=7)).config.ledger.unbonding == 14


@pytest.mark.parametrize(
    ("rules", "path"),
    [
        ({"feeRecepient": "0x" + "01" * 20}, "config.ledger.feeRecepient"),
        ({"free": "yes"}, "config.ledger.free"),
        ({"free": 1}, "config.ledger.free"),
        ({"emptyBlocks": 0}, "config.ledger.emptyBlocks"),
        ({"feeRecipient": "0x01"}, "config.ledger.feeRecipient"),
        ({"blockIntervalMs": -1}, "config.ledger.blockIntervalMs"),
        ({"blockIntervalMs": 0.5}, "config.ledger.blockIntervalMs"),
        ({"blockIntervalMs": MILLISECONDS_MAX + 1}, "config.ledger.blockIntervalMs"),
        ({"heartbeatMs": True}, "config.ledger.heartbeatMs"),
        ({"epochLength": HEIGHTS_MAX + 1}, "config.ledger.epochLength"),
        ({"evidenceAge": 0}, "config.ledger.evidenceAge"),
        ({"evidenceAge": 10, "unbonding": 10}, "config.ledger.unbonding"),
        ({"unbonding": 100_000}, "config.ledger.unbonding"),
        ({"allowedSenders": []}, "config.ledger.allowedSenders"),
        ({"allowedNodes": []}, "config.ledger.allowedNodes"),
        ({"allowedSenders": "0x" + "01" * 20}, "config.ledger.allowedSenders"),
        ({"allowedSenders": ["0x" + "01" * 20] * 2}, "config.ledger.allowedSenders[1]"),
        ({"allowedNodes": ["0x" + "01" * 19]}, "config.ledger.allowedNodes[0]"),
        ({"validators": {}}, "config.ledger.validators"),
        ({"validators": [{"power": 1}]}, "config.ledger.validators[0].address"),
        ({"validators": [{"address": "0x" + "01" * 20}]}, "config.ledger.validators[0].power"),
        (
            {"validators": [{"address": "0x" + "01" * 20, "power": 0}]},
            "config.ledger.validators[0].power",
        ),
        (
            {"validators": [{"address": "0x" + "00" * 20, "power": 1}]},
            "config.ledger.validators[0].address",
        ),
        (
            {"validators": [{"address": "0x" + "01" * 20, "power": 1, "weight": 2}]},
            "config.ledger.validators[0].weight",
        ),
        (
            {"validators": [{"address": "0x" + "01" * 20, "power": POWER_MAX + 1}]},
            "config.ledger.validators[0].power",
        ),
        (
            {
                "validators": [
                    {"address": f"0x{place + 1:040x}", "power": 1}
                    for place in range(VALIDATORS_MAX + 1)
                ]
            },
            f"config.ledger.validators[{VALIDATORS_MAX}]",
        ),
    ],
)
def test_a_bad_rule_is_refused_by_its_path(rules: dict[str, Any], path: str) -> None:
    assert refusal_of(**rules).partition(": ")[0] == path


def test_a_free_ledger_begins_without_a_base_fee() -> None:
    document = section(free=True)
    assert parse_genesis(document).base_fee == 0
    assert parse_genesis(document | {"baseFeePerGas": "0x0"}).base_fee == 0
    with pytest.raises(Rejected) as caught:
        parse_genesis(document | {"baseFeePerGas": "0x1"})
    assert caught.value.reason is Reason.BAD_GENESIS
    assert caught.value.detail.startswith("baseFeePerGas: ")
    assert genesis_block(ledger(LedgerRules(free=True)))[0].header.base_fee == 0


@pytest.mark.parametrize("absent", ["terminalTotalDifficulty", "cancunTime"])
def test_validators_need_a_ledger_that_is_merged_from_the_start(absent: str) -> None:
    document = section(validators=[{"address": "0x" + "01" * 20, "power": 1}])
    parse_genesis(document)
    document["config"] = {k: v for k, v in document["config"].items() if k != absent}
    if absent == "terminalTotalDifficulty":
        document["config"] |= {absent: 1}
    with pytest.raises(Rejected) as caught:
        parse_genesis(document)
    assert caught.value.reason is Reason.BAD_GENESIS
    assert caught.value.detail.startswith("config.ledger.validators: ")


def test_validators_need_the_contracts_that_every_block_calls() -> None:
    whole: dict[str, Any] = json.loads(ledger(LedgerRules(validators=VALIDATORS)).source)
    parse_genesis(whole)
    for address in (forks.WITHDRAWAL_REQUESTS_ADDRESS, forks.CONSOLIDATION_REQUESTS_ADDRESS):
        lacking = copy.deepcopy(whole)
        del lacking["alloc"]["0x" + address.hex()]
        with pytest.raises(Rejected) as caught:
            parse_genesis(lacking)
        assert caught.value.reason is Reason.BAD_GENESIS
        assert f"0x{address.hex()}" in caught.value.detail


def test_the_first_block_does_not_depend_on_rules_that_change_nothing_in_it() -> None:
    """What a ledger is called by - the hash of its first block - stays comparable with geth's."""
    plain = new_genesis(7, alloc={})
    ruled = new_genesis(7, alloc={}, rules=LedgerRules(block_interval_ms=500))
    assert genesis_block(plain)[0] == genesis_block(ruled)[0]


def test_the_documents_example_is_a_genesis() -> None:
    """And its table names every rule, with no other beside it."""
    text = (Path(__file__).parents[2] / "docs" / "genesis.md").read_text()
    genesis = parse_genesis(text.partition("```json\n")[2].partition("```")[0])
    assert genesis.config.ledger.free
    assert genesis.base_fee == 0
    documented = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", text, re.MULTILINE)
    everything = LedgerRules(VALIDATORS, 0, True, 0, 0, True, TREASURY, (TO,), (TO,))
    assert set(documented) == set(ledger_json(everything))


# -- blocks ----------------------------------------------------------------------------------------


def start(genesis: Genesis) -> tuple[Block, TrieView]:
    block, delta = genesis_block(genesis)
    return block, Overlay(EmptyView(), commit(EmptyView(), delta))


def no_hash(number: int) -> Hash:
    return ZERO_HASH


def build(
    genesis: Genesis,
    *,
    price: int,
    tip: int = 0,
    key: bytes = KEYS[0],
    allows: ChainConfig | None = None,
    **fields: Any,
) -> tuple[Executed, Block, TrieView]:
    """The first block after genesis, with one transfer of 1 wei."""
    config = allows or genesis.config
    first, view = start(genesis)
    making = BlockBuilder(
        view,
        first.header,
        MACHINE,
        config,
        no_hash,
        **{
            "timestamp": TIME,
            "coinbase": LEADER,
            "gas_limit": first.header.gas_limit,
            "randomness": ZERO_HASH,
        }
        | fields,
    )
    unsigned = build_transaction(
        kind=2, chain_id=7, nonce=0, gas_limit=21_000, max_fee=price, max_priority_fee=tip,
        to=TO, value=1,
    )  # fmt: skip
    making.add(check_transaction(sign_transaction(unsigned, key), making.execution.fork, 7))
    return making.seal(), first, view


def balance(made: Executed, view: TrieView, address: Address) -> int:
    account = Overlay(view, made.changes).account(address)
    return 0 if account is None else account.balance


def accepted(made: Executed, first: Block, view: TrieView, config: ChainConfig) -> bool:
    return apply_block(view, made.block, first.header, MACHINE, config, no_hash).hash == made.hash


def refused(block: Block, first: Block, view: TrieView, config: ChainConfig) -> Reason:
    with pytest.raises(Rejected) as caught:
        apply_block(view, block, first.header, MACHINE, config, no_hash)
    return caught.value.reason


def test_on_a_free_ledger_who_has_no_coins_can_still_send() -> None:
    genesis = ledger(LedgerRules(free=True), balance=1)
    made, first, view = build(genesis, price=0)
    assert accepted(made, first, view, genesis.config)
    assert made.block.header.base_fee == 0
    assert balance(made, view, SENDER) == 0
    assert balance(made, view, TO) == 1


@given(st.integers(0, 30_000_000), st.sampled_from(forks.FORKS))
def test_a_free_ledger_stays_free_however_full_its_blocks_are(used: int, fork: forks.Fork) -> None:
    genesis = ledger(LedgerRules(free=True))
    parent = replace(genesis_block(genesis)[0].header, gas_used=used)
    free = genesis.config.fork_at(1, TIME, True)
    assert headers.base_fee(parent, free) == 0
    assert headers.blob_base_fee(used * 10, free) == 0
    assert headers.base_fee(parent, replace(fork, free=True)) == 0


def test_a_base_fee_on_a_free_ledger_is_refused() -> None:
    genesis = ledger(LedgerRules(free=True))
    made, first, view = build(genesis, price=10, base_fee=1)
    assert refused(made.block, first, view, genesis.config) is Reason.WRONG_BASE_FEE


def test_without_a_recipient_the_base_fee_is_burnt_and_the_leader_earns_the_tip() -> None:
    genesis = ledger(LedgerRules(validators=VALIDATORS))
    made, first, view = build(genesis, price=10**10, tip=3)
    fee = made.block.header.base_fee
    assert fee is not None
    assert accepted(made, first, view, genesis.config)
    assert balance(made, view, LEADER) == 21_000 * 3
    assert balance(made, view, SENDER) == 10**24 - 1 - 21_000 * (fee + 3)


def test_the_fee_recipient_earns_base_fee_and_tip_whoever_leads() -> None:
    genesis = ledger(LedgerRules(validators=VALIDATORS, fee_recipient=TREASURY))
    made, first, view = build(genesis, price=10**10, tip=3)
    fee = made.block.header.base_fee
    assert fee is not None
    assert accepted(made, first, view, genesis.config)
    assert made.block.header.coinbase == TREASURY
    assert balance(made, view, LEADER) == 0
    assert balance(made, view, TREASURY) == 21_000 * (fee + 3)
    total = sum(balance(made, view, each) for each in (SENDER, FOREIGN, TO, TREASURY))
    assert total == 2 * 10**24  # nothing is burnt


def test_a_leader_can_not_send_the_fees_elsewhere() -> None:
    genesis = ledger(LedgerRules(validators=VALIDATORS, fee_recipient=TREASURY))
    hostile = replace(genesis.config, ledger=replace(genesis.config.ledger, fee_recipient=None))
    made, first, view = build(genesis, price=10**10, allows=hostile)
    assert made.block.header.coinbase == LEADER
    assert refused(made.block, first, view, genesis.config) is Reason.WRONG_COINBASE


def test_a_sender_that_is_not_allowed_is_in_no_block() -> None:
    genesis = ledger(LedgerRules(allowed_senders=(SENDER,)))
    made, first, view = build(genesis, price=10**10)
    assert accepted(made, first, view, genesis.config)
    with pytest.raises(Rejected) as caught:
        build(genesis, price=10**10, key=KEYS[1])
    assert caught.value.reason is Reason.SENDER_NOT_ALLOWED


def test_a_block_with_a_foreign_sender_is_invalid() -> None:
    genesis = ledger(LedgerRules(allowed_senders=(SENDER,)))
    everybody = replace(genesis.config, ledger=LedgerRules())
    made, first, view = build(genesis, price=10**10, key=KEYS[1], allows=everybody)
    assert accepted(made, first, view, everybody)
    assert refused(made.block, first, view, genesis.config) is Reason.SENDER_NOT_ALLOWED


def test_a_leader_can_not_make_coins_by_withdrawals() -> None:
    genesis = ledger(LedgerRules(validators=VALIDATORS))
    gift = (Withdrawal(0, 0, LEADER, 10**9),)
    made, first, view = build(genesis, price=10**10, withdrawals=gift)
    assert made.block.header.withdrawals_root == withdrawals_root(gift)
    assert refused(made.block, first, view, genesis.config) is Reason.WRONG_WITHDRAWALS
    alone = with_rules(genesis.config, LedgerRules())
    assert accepted(made, first, view, alone)


@pytest.mark.parametrize("change", [-1, 1])
def test_validators_keep_the_gas_limit_of_the_genesis(change: int) -> None:
    genesis = ledger(LedgerRules(validators=VALIDATORS))
    made, first, view = build(
        genesis, price=10**10, gas_limit=first_header(genesis).gas_limit + change
    )
    assert refused(made.block, first, view, genesis.config) is Reason.WRONG_GAS_LIMIT
    assert accepted(made, first, view, with_rules(genesis.config, LedgerRules()))


def first_header(genesis: Genesis) -> Header:
    return genesis_block(genesis)[0].header


@pytest.mark.parametrize(
    ("rules", "later", "reason"),
    [
        (LedgerRules(validators=VALIDATORS), 1, None),
        (LedgerRules(validators=VALIDATORS), 0, None),
        (LedgerRules(validators=VALIDATORS), -1, Reason.WRONG_TIMESTAMP),
        (LedgerRules(), 1, None),
        (LedgerRules(), 0, Reason.WRONG_TIMESTAMP),
        (LedgerRules(), -1, Reason.WRONG_TIMESTAMP),
    ],
)
def test_several_validators_may_build_more_than_one_block_in_a_second(
    rules: LedgerRules, later: int, reason: Reason | None
) -> None:
    genesis = ledger(rules)
    first, view = start(genesis)
    parent = replace(first.header, timestamp=TIME)
    fork = genesis.config.fork_at(1, TIME, True)
    making = BlockBuilder(
        view,
        parent,
        MACHINE,
        genesis.config,
        no_hash,
        timestamp=TIME + later,
        coinbase=LEADER,
        gas_limit=parent.gas_limit,
        randomness=ZERO_HASH,
    )
    header = making.seal().block.header
    if reason is None:
        check_header(header, parent, fork, genesis.config)
    else:
        with pytest.raises(Rejected) as caught:
            check_header(header, parent, fork, genesis.config)
        assert caught.value.reason is reason
