"""What a developer's chain tells of itself, tokens dealt out, and where none of it exists."""

from pathlib import Path

import pytest

from chain.genesis import dev_genesis
from node.rpc.reference import method_table
from node.rpc.registry import METHODS
from tests.node.rpc.serving import ACCOUNTS, OTHER, SENDER, Served

NOBODY = "0x" + "ab" * 20
TOKEN = """
# pragma version ~=0.4.0
from ethereum.ercs import IERC20
paused: bool
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])

@deploy
def __init__(supply: uint256):
    self.balanceOf[msg.sender] = supply
"""


def test_the_documentation_lists_every_method_of_developers_as_it_is() -> None:
    """When this fails, put the output of `method_table(developer=True)` into docs/dev.md."""
    document = Path(__file__).parents[3] / "docs" / "dev.md"
    assert document.read_text(encoding="utf-8").endswith(method_table(developer=True))


def test_on_other_ledgers_there_are_no_such_methods() -> None:
    names = [name for name, method in METHODS.items() if method.developer_only]
    assert len(names) > 80
    with Served() as served:
        for name in names:
            refused = served.refusal(name)
            assert refused.code == -32601
            assert refused.message == f"the method {name} does not exist/is not available"
        assert not {"anvil", "evm", "hardhat"} & served.call("rpc_modules").keys()


def test_anvils_and_hardhats_names_for_what_this_is(dev: Served) -> None:
    dev.call("evm_mine")
    info = dev.call("anvil_nodeInfo")
    head = dev.call("eth_getBlockByNumber", "latest", False)
    assert info["currentBlockNumber"] == "0x1"
    assert info["currentBlockHash"] == head["hash"]
    assert info["currentBlockTimestamp"] == int(head["timestamp"], 16)
    assert info["environment"]["chainId"] == 31337
    assert info["environment"]["gasLimit"] == head["gasLimit"]
    for name in ("anvil_metadata", "hardhat_metadata"):
        told = dev.call(name)
        assert (told["chainId"], told["latestBlockNumber"]) == (31337, 1)
        assert told["latestBlockHash"] == head["hash"]
        assert told["clientVersion"] == dev.call("web3_clientVersion")
    assert dev.call("rpc_modules")["anvil"] == "1.0"


def test_what_other_tools_say_by_habit_is_taken(dev: Served) -> None:
    assert dev.call("hardhat_setLoggingEnabled", False) is True
    assert dev.call("anvil_setLoggingEnabled", True) is None
    assert dev.call("hardhat_addCompilationResult", "0.8.28", {}, {}) is False


def test_a_ledger_of_a_genesis_file_can_be_a_developers() -> None:
    """Its first blocks' rules are the genesis'; controls work as on the built-in one."""
    from node.devchain.compose import Developing

    genesis = dev_genesis(4242, accounts=list(ACCOUNTS)[:1])
    with Served(genesis, developing=Developing()) as served:
        served.call("anvil_setBalance", NOBODY, "0x9")
        served.call("evm_mine")
        assert served.call("eth_getBalance", NOBODY, "latest") == "0x9"
        assert served.call("eth_chainId") == hex(4242)


@pytest.fixture
def token(dev: Served) -> str:
    compiler = pytest.importorskip("vyper", reason="vyper is not installed")
    code = compiler.compile_code(TOKEN, output_formats=["bytecode"])["bytecode"]
    address: str = dev.send(data=code + f"{10**6:064x}")["contractAddress"]
    return address


def _balance(dev: Served, token: str, owner: str) -> int:
    data = "0x70a08231" + "00" * 12 + owner[2:]
    return int(dev.call("eth_call", {"to": token, "data": data}, "latest"), 16)


def test_tokens_are_dealt_where_the_contract_keeps_them(dev: Served, token: str) -> None:
    assert dev.call("anvil_dealERC20", NOBODY, token, "0x3e8") is None
    assert _balance(dev, token, NOBODY) == 1000
    dev.call("tenderly_setErc20Balance", token, OTHER, 77)
    assert (_balance(dev, token, OTHER), _balance(dev, token, NOBODY)) == (77, 1000)
    dev.call("anvil_dealERC20", NOBODY, token, "0x0")
    assert _balance(dev, token, NOBODY) == 0
    dev.call("anvil_setERC20Allowance", SENDER, NOBODY, token, 5)
    data = "0xdd62ed3e" + "00" * 12 + SENDER[2:] + "00" * 12 + NOBODY[2:]
    assert int(dev.call("eth_call", {"to": token, "data": data}, "latest"), 16) == 5


def test_what_is_no_token_is_told(dev: Served) -> None:
    refused = dev.refusal("anvil_dealERC20", NOBODY, OTHER, 5)
    assert refused.message == f"no slot of {OTHER} holds just this amount"


def _packing(shift: int, width: int, factor: int = 1) -> str:
    """A token's code: everybody has `width` bits of slot 5 from `shift` on, `factor` times."""
    mask = ((1 << width) - 1).to_bytes(32, "big").hex()
    return f"0x60{factor:02x}60055460{shift:02x}1c7f{mask}160260005260206000f3"


@pytest.mark.parametrize(("shift", "width"), [(0, 256), (0, 255), (0, 128), (8, 128), (160, 96)])
def test_an_amount_that_shares_its_slot_leaves_the_rest_alone(
    shift: int, width: int, dev: Served
) -> None:
    word = int.from_bytes(bytes(range(0x80, 0xA0)), "big")
    dev.call("anvil_setCode", NOBODY, _packing(shift, width))
    dev.call("anvil_setStorageAt", NOBODY, "0x5", f"0x{word:064x}")
    for amount in (1000, 0, (1 << width) - 1):
        dev.call("anvil_dealERC20", OTHER, NOBODY, hex(amount))
        assert _balance(dev, NOBODY, OTHER) == amount
        now = int(dev.call("eth_getStorageAt", NOBODY, "0x5", "latest"), 16)
        assert now == word & ~((1 << width) - 1 << shift) | amount << shift
    if width < 256:
        refused = dev.refusal("anvil_dealERC20", OTHER, NOBODY, hex(1 << width))
        assert f"amounts of {width} bits" in refused.message
        assert _balance(dev, NOBODY, OTHER) == (1 << width) - 1


def test_an_amount_that_is_computed_is_not_set(dev: Served) -> None:
    dev.call("anvil_setCode", NOBODY, _packing(0, 128, factor=3))
    refused = dev.refusal("anvil_dealERC20", OTHER, NOBODY, 9)
    assert refused.message == f"no slot of {NOBODY} holds just this amount"
    assert _balance(dev, NOBODY, OTHER) == 0


def test_the_gas_of_a_transfer_is_told_without_a_sender(dev: Served) -> None:
    assert dev.call("eth_estimateGas", {"to": NOBODY, "value": "0x1"}) == "0x5208"
    poor = {"from": NOBODY, "to": OTHER, "value": "0x1"}
    assert "insufficient funds" in dev.refusal("eth_estimateGas", poor).message


def test_the_node_goes_by_a_name_that_tools_know(dev: Served) -> None:
    """Hardhat's network helpers and Ape work with an "anvil" or "hardhat" at the beginning only."""
    version = dev.call("web3_clientVersion")
    assert version.startswith("anvil/v1.")
    assert "/chain-node/v" in version
    assert dev.call("hardhat_metadata")["clientVersion"] == version
