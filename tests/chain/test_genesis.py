"""Genesis files: what is read, when forks become active, and what is refused by which name."""

import copy
import json
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chain import forks, headers
from chain.activation import ChainConfig
from chain.crypto.keccak import keccak
from chain.errors import Reason, Rejected
from chain.forks import BlobSchedule
from chain.genesis import (
    DEV_BALANCE,
    Genesis,
    GenesisAccount,
    dev_genesis,
    genesis_block,
    parse_genesis,
)
from chain.types import EMPTY_ROOT, ZERO_ADDRESS, ZERO_HASH, Address

HEIGHTS = (
    "homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg",
    "istanbul", "muirGlacier", "berlin", "london", "arrowGlacier", "grayGlacier",
)  # fmt: skip
ALL_HEIGHTS = {f"{name}Block": 0 for name in HEIGHTS}


def document(config: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "config": {"chainId": 1} | (config or {}),
        "gasLimit": "0x1388",
        "difficulty": "0x20000",
        "alloc": {},
    } | fields


def config_of(**config: Any) -> ChainConfig:
    return parse_genesis(document(config)).config


def refused_key(value: object) -> str:
    """The key that the refusal names."""
    with pytest.raises(Rejected) as caught:
        parse_genesis(value)  # type: ignore[arg-type]
    assert caught.value.reason == Reason.BAD_GENESIS
    return caught.value.detail.partition(":")[0]


@pytest.mark.parametrize("spelling", ["0x2a", "0X2A", "42", 42, "0x02a", "042"])
def test_numbers_are_read_in_every_spelling(spelling: object) -> None:
    assert parse_genesis(document(gasLimit=spelling)).gas_limit == 42


@given(st.integers(0, 2**256 - 1))
def test_balances_are_read_in_every_spelling(balance: int) -> None:
    address = "01" * 20
    for spelling in (balance, str(balance), hex(balance)):
        for name in (address, "0x" + address):
            genesis = parse_genesis(document(alloc={name: {"balance": spelling}}))
            assert genesis.alloc == {Address(b"\x01" * 20): GenesisAccount(balance)}


def test_an_account_is_read_whole() -> None:
    alloc = {
        "0x" + "aB" * 20: {
            "balance": "1",
            "nonce": "0x2",
            "code": "0x6001",
            "storage": {"0x01": "0x02", "03": "0x" + "00" * 31 + "04", "0x05": "0x00"},
        }
    }
    assert parse_genesis(json.dumps(document(alloc=alloc))).alloc == {
        Address(b"\xab" * 20): GenesisAccount(1, 2, b"\x60\x01", {1: 2, 3: 4})
    }


def test_unknown_keys_and_other_clients_are_passed_over() -> None:
    genesis = document(
        {"clique": {"period": 5}, "ethash": {}, "terminalTotalDifficultyPassed": True},
        comment=["anything"],
        alloc={"00" * 20: {"balance": "0", "secretKey": "0x01"}},
    )
    assert parse_genesis(genesis).config.chain_id == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "null", '"{}"', "[" * 100_000, b"\xff\xfe{"])
def test_what_is_no_json_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(Rejected) as caught:
        parse_genesis(text)
    assert caught.value.reason == Reason.BAD_GENESIS


@pytest.mark.parametrize("key", ["config", "gasLimit", "difficulty", "alloc"])
@pytest.mark.parametrize("value", ["absent", None])
def test_a_missing_key_is_named(key: str, value: object) -> None:
    incomplete = document()
    if value is None:
        incomplete[key] = None
    else:
        del incomplete[key]
    assert refused_key(incomplete) == key


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("gasLimit", "0xfg"),
        ("gasLimit", "1e9"),
        ("gasLimit", 1.5),
        ("gasLimit", True),
        ("gasLimit", -1),
        ("gasLimit", "-1"),
        ("gasLimit", hex(2**63)),
        ("difficulty", hex(2**256)),
        ("difficulty", "1" * 10_000),
        ("difficulty", []),
        ("timestamp", hex(2**64)),
        ("nonce", "nonce"),
        ("number", "0x1"),
        ("extraData", "0x123"),
        ("extraData", 5),
        ("mixHash", "0x00"),
        ("coinbase", "0x" + "00" * 19),
        ("parentHash", "0x" + "zz" * 32),
        ("baseFeePerGas", "x"),
        ("config", []),
        ("alloc", []),
        ("config.chainId", None),
        ("config.chainId", "one"),
        ("config.homesteadBlock", "soon"),
        ("config.daoForkSupport", "yes"),
        ("config.depositContractAddress", "0x01"),
        ("config.terminalTotalDifficulty", 5.8e22),
        ("config.amsterdamTime", 1),
        ("config.ledger.validators", {}),
        ("config.ledger.blockIntervalMs", "fast"),
        ("alloc.0x00", {"balance": "0"}),
        (f"alloc.{'00' * 20}", 5),
        (f"alloc.{'00' * 20}.balance", "much"),
        (f"alloc.{'00' * 20}.balance", hex(2**256)),
        (f"alloc.{'00' * 20}.nonce", hex(2**64)),
        (f"alloc.{'00' * 20}.code", "0x0"),
        (f"alloc.{'00' * 20}.storage", []),
        (f"alloc.{'00' * 20}.storage.key", "0x01"),
        (f"alloc.{'00' * 20}.storage.0x01", 1),
        (f"alloc.{'00' * 20}.storage.0x01", "0x" + "00" * 33),
    ],
)
def test_a_bad_value_is_named_by_its_path(path: str, value: object) -> None:
    genesis = document({"ledger": {}}, alloc={"00" * 20: {"balance": "0", "storage": {}}})
    at: dict[str, Any] = genesis
    *parents, last = path.split(".")
    for name in parents:
        at = at[name]
    if path.startswith("alloc.0x00"):
        genesis["alloc"] = {}
        at = genesis["alloc"]
    at[last] = value
    assert refused_key(genesis) == path


def test_an_address_may_stand_in_alloc_once() -> None:
    twice = {"0x" + "ab" * 20: {"balance": "1"}, "AB" * 20: {"balance": "2"}}
    assert refused_key(document(alloc=twice)) == f"alloc.{'AB' * 20}"


def test_forks_by_height_follow_one_another() -> None:
    """Each height's fork is in force from its own block on."""
    config = config_of(**{f"{name}Block": 10 * (place + 1) for place, name in enumerate(HEIGHTS)})
    assert config.fork_at(9, 0, False).name == "frontier"
    names = (
        "homestead", "tangerine_whistle", "tangerine_whistle", "spurious_dragon", "byzantium",
        "constantinople", "petersburg", "istanbul", "muir_glacier", "berlin", "london",
        "arrow_glacier", "gray_glacier",
    )  # fmt: skip
    for place, name in enumerate(names):
        height = 10 * (place + 1)
        assert config.fork_at(height, 0, False).name == name
        assert config.fork_at(height + 9, 0, False).name == name
    assert not config.fork_at(29, 0, False).replay_protection
    assert config.fork_at(30, 0, False).replay_protection


@pytest.mark.parametrize("fork", [f for f in forks.FORKS if not f.merged], ids=lambda f: f.name)
def test_a_chain_with_all_forks_at_zero_runs_by_the_last(fork: forks.Fork) -> None:
    """What the tables of chain.forks say is what a genesis up to that fork gives."""
    places = {"frontier": 0, "homestead": 1, "tangerine_whistle": 2, "spurious_dragon": 4}
    names = [f.name for f in forks.FORKS]
    count = places.get(fork.name, names.index(fork.name) + 1)
    heights = {f"{name}Block": 0 for name in HEIGHTS[:count]}
    if fork is forks.CONSTANTINOPLE:
        heights["petersburgBlock"] = 1
    config = config_of(**heights)
    assert config.fork_at(0, 0, False) == fork


def test_petersburg_comes_with_constantinople_unless_it_is_set() -> None:
    """As in geth: on chains that never ran EIP-1283 the key may be absent."""
    upto = {f"{name}Block": 0 for name in HEIGHTS[:6]}
    assert config_of(**upto).fork_at(0, 0, False).name == "petersburg"
    assert config_of(**upto, petersburgBlock=5).fork_at(4, 0, False).name == "constantinople"


def test_a_chain_without_muir_glacier_keeps_the_earlier_bomb() -> None:
    """The bomb is pushed back only by the forks that a chain has."""
    without = {k: v for k, v in ALL_HEIGHTS.items() if "lacier" not in k and "london" not in k}
    berlin = config_of(**without).fork_at(0, 0, False)
    assert (berlin.name, berlin.bomb_delay) == ("berlin", 5_000_000)


def test_forks_by_time_wait_for_the_merge() -> None:
    config = config_of(**ALL_HEIGHTS, terminalTotalDifficulty=1000, shanghaiTime=10, cancunTime=20)
    assert config.fork_at(5, 30, False).name == "gray_glacier"
    assert [config.fork_at(5, time, True).name for time in (9, 10, 19, 20)] == [
        "paris", "shanghai", "shanghai", "cancun",
    ]  # fmt: skip
    assert not config.merged_after(999)
    assert config.merged_after(1000)
    assert not config_of(**ALL_HEIGHTS).merged_after(10**30)


def test_blob_schedules_belong_to_their_forks() -> None:
    schedule = {"target": 1, "max": "0x2", "baseFeeUpdateFraction": 3}
    times = {f"{name}Time": 0 for name in ("shanghai", "cancun", "prague", "osaka")}
    config = config_of(
        **ALL_HEIGHTS, **times, terminalTotalDifficulty=0, bpo1Time=50, bpo2Time=60, bpo3Time=70,
        blobSchedule={"prague": schedule, "bpo1": schedule, "bpo3": schedule},
    )  # fmt: skip
    assert config.times[1][1] == forks.CANCUN
    assert config.times[2][1].blobs == BlobSchedule(1, 2, 3)
    assert config.fork_at(1, 0, True) == forks.OSAKA
    assert config.fork_at(1, 50, True).blobs == BlobSchedule(1, 2, 3)
    assert config.fork_at(1, 60, True).blobs == BlobSchedule(14, 21, 11_684_671)
    assert config.fork_at(1, 70, True).name == "bpo3"
    assert config.fork_at(1, 70, True).cell_proofs


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"eip150Block": 1}, "config.eip150Block"),
        ({**ALL_HEIGHTS, "homesteadBlock": 5}, "config.eip150Block"),
        ({**ALL_HEIGHTS, "shanghaiTime": 0}, "config.terminalTotalDifficulty"),
        ({"terminalTotalDifficulty": 0, "pragueTime": 0}, "config.pragueTime"),
        (
            {"terminalTotalDifficulty": 0, "shanghaiTime": 5, "cancunTime": 4},
            "config.cancunTime",
        ),
        (
            {"terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0, "bpo1Time": 0},
            "config.bpo1Time",
        ),
        (
            {"terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0, "pragueTime": 0}
            | {"osakaTime": 0, "bpo3Time": 0},
            "config.blobSchedule.bpo3",
        ),
        (
            {"terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0}
            | {"blobSchedule": {"cancun": {"target": 3, "max": 6}}},
            "config.blobSchedule.cancun.baseFeeUpdateFraction",
        ),
        (
            {"terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0}
            | {"blobSchedule": {"cancun": {"target": 7, "max": 6, "baseFeeUpdateFraction": 1}}},
            "config.blobSchedule.cancun.max",
        ),
    ],
)
def test_forks_out_of_order_are_refused(config: dict[str, Any], key: str) -> None:
    assert refused_key(document(config)) == key


@pytest.mark.parametrize(
    ("support", "fork", "refused"), [(True, 7, None), (False, None, 7), (None, None, 7)]
)
def test_the_dao_fork_is_taken_or_refused(
    support: bool | None, fork: int | None, refused: int | None
) -> None:
    config = config_of(homesteadBlock=0, daoForkBlock=7, daoForkSupport=support)
    assert (config.dao_fork, config.dao_refused) == (fork, refused)


def test_our_own_section_names_the_validators() -> None:
    entries = [{"address": "0x" + "01" * 20, "power": 3}, {"address": "0x" + "02" * 20, "power": 1}]
    merged = {**ALL_HEIGHTS, "terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0}
    rules = config_of(**merged, ledger={"validators": entries, "blockIntervalMs": 500}).ledger
    assert [(item.address[0], item.power) for item in rules.validators] == [(1, 3), (2, 1)]
    assert rules.block_interval_ms == 500
    for broken in ([*entries, entries[0]], [{"address": "0x" + "01" * 20, "power": 0}]):
        assert refused_key(document({"ledger": {"validators": broken}})).startswith(
            "config.ledger.validators["
        )


def test_the_first_header_has_the_fields_of_its_fork() -> None:
    """As geth's: forks by time count at genesis, whatever the total difficulty."""
    plain = genesis_block(parse_genesis(document()))[0]
    assert plain.header.base_fee is None
    assert plain.withdrawals is None
    london = genesis_block(parse_genesis(document(ALL_HEIGHTS)))[0]
    assert london.header.base_fee == 10**9
    cancun = {**ALL_HEIGHTS, "terminalTotalDifficulty": 10**9, "shanghaiTime": 0, "cancunTime": 0}
    block = genesis_block(
        parse_genesis(document(cancun, baseFeePerGas="7", excessBlobGas="0x20000"))
    )[0]
    header = block.header
    assert (header.base_fee, header.excess_blob_gas, header.blob_gas_used) == (7, 0x20000, 0)
    assert (header.withdrawals_root, header.parent_beacon_root) == (EMPTY_ROOT, ZERO_HASH)
    assert header.requests_hash is None
    assert block.withdrawals == ()


def test_an_account_without_anything_still_exists_at_genesis() -> None:
    """geth keeps every address that alloc names."""
    genesis = parse_genesis(document(alloc={"01" * 20: {"balance": "0"}}))
    block, delta = genesis_block(genesis)
    assert list(delta.accounts) == [Address(b"\x01" * 20)]
    assert block.header.state_root != EMPTY_ROOT


def test_the_source_says_the_same_again() -> None:
    """A genesis can be kept as its JSON."""
    for genesis in (dev_genesis(), parse_genesis(document(extraData="0x01"))):
        assert parse_genesis(genesis.source) == genesis


def block_hash(genesis: Genesis) -> str:
    return headers.header_hash(genesis_block(genesis)[0].header).hex()


def test_the_developers_chain_is_as_documented() -> None:
    genesis = dev_genesis()
    config = genesis.config
    assert config.chain_id == 31337
    assert config.merged_after(0)
    assert config.fork_at(1, 1, True) == forks.OSAKA
    funded = {a for a, account in genesis.alloc.items() if account.balance == DEV_BALANCE}
    assert len(funded) == 10
    assert Address(bytes.fromhex("f39fd6e51aad88f6f4ce6ab8827279cfffb92266")) in funded
    assert Address(bytes.fromhex("a0ee7a142d267c1f36714e4a8f75612f20a79720")) in funded
    contracts = {a: account for a, account in genesis.alloc.items() if account.code}
    assert all(account.nonce == 1 for account in contracts.values())
    assert len(contracts) == 4
    assert genesis.gas_limit == 60_000_000
    assert genesis_block(genesis)[0].header.base_fee == 10**9
    assert block_hash(genesis) == block_hash(dev_genesis())
    assert block_hash(genesis) != block_hash(dev_genesis(chain_id=5, balance=1))


def test_the_developers_accounts_can_be_others() -> None:
    account = Address(b"\x07" * 20)
    genesis = dev_genesis(chain_id=5, accounts=[account], balance=9, gas_limit=10**6, timestamp=3)
    assert genesis.alloc[account] == GenesisAccount(9)
    assert (genesis.config.chain_id, genesis.gas_limit, genesis.timestamp) == (5, 10**6, 3)
    assert len(genesis.alloc) == 5


def test_the_system_contracts_have_their_official_code() -> None:
    """By the hashes of the code that Ethereum mainnet runs (EIP-4788, 2935, 7002, 7251)."""
    alloc = dev_genesis().alloc
    hashes = {address.hex(): keccak(item.code).hex()[:16] for address, item in alloc.items()}
    assert hashes[forks.BEACON_ROOTS_ADDRESS.hex()] == "f57acd40259872606d76197ef052f3d3"[:16]
    assert alloc[forks.HISTORY_STORAGE_ADDRESS].code.hex() == (
        "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257"
        "611fff81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
    )


@given(st.data())
def test_any_damage_is_refused_or_read(data: st.DataObject) -> None:
    """Whatever stands at a key, reading gives a genesis or BAD_GENESIS, never another error."""
    genesis = copy.deepcopy(json.loads(dev_genesis().source))
    places = list(genesis) + [f"config.{key}" for key in genesis["config"]]
    place = data.draw(st.sampled_from(places))
    at = genesis["config"] if place.startswith("config.") else genesis
    at[place.rpartition(".")[2]] = data.draw(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
        | st.lists(st.integers(), max_size=2) | st.dictionaries(st.text(max_size=4), st.none())
    )  # fmt: skip
    try:
        found = parse_genesis(genesis)
    except Rejected as rejected:
        assert rejected.reason == Reason.BAD_GENESIS
    else:
        assert found.coinbase == ZERO_ADDRESS


def test_mainnets_genesis_has_the_known_hash() -> None:
    """All of Ethereum mainnet's first accounts, from the executable specification's package."""
    package = pytest.importorskip("ethereum.assets", reason="ethereum-execution is not installed")
    text = (files(package) / "mainnet.json").read_text()
    assert block_hash(parse_genesis(text)) == (
        "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"
    )


def test_sepolias_parameters_give_the_known_hash() -> None:
    """Sepolia's first header, its published state root put in for the accounts."""
    config = {
        **ALL_HEIGHTS, "chainId": 11155111, "mergeNetsplitBlock": 1735371,
        "terminalTotalDifficulty": 17 * 10**15, "shanghaiTime": 1677557088,
        "cancunTime": 1706655072, "pragueTime": 1741159776, "ethash": {},
    }  # fmt: skip
    genesis = parse_genesis(
        document(
            config,
            gasLimit="0x1c9c380",
            difficulty="0x20000",
            timestamp="0x6159af19",
            nonce="0x0000000000000000",
            extraData="0x" + b"Sepolia, Athens, Attica, Greece!".hex(),
        )
    )
    header = replace(
        genesis_block(genesis)[0].header,
        state_root=bytes.fromhex(
            "5eb6e371a698b8d68f665192350ffcecbbbf322916f4b51bd79bb6887da3f494"
        ),
    )
    assert headers.header_hash(header).hex() == (
        "25a5cc106eea7138acab33231d7160d69cb777ee0c2c553fcddf5138993e6dd9"
    )
