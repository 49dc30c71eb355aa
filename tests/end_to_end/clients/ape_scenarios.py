"""What Ape is for, with its own plain provider and test accounts: no plugin. Reports as
tests/support/capabilities.py expects."""

from typing import Any

from ape import accounts, networks
from ape.api import AccountAPI
from ape.contracts import ContractContainer
from ape.exceptions import ContractLogicError
from ethpm_types import ContractType
from stage import ORDER, perform

FRIEND = ORDER["friend"]
FOUND: dict[str, Any] = {}
CONTRACT = ContractContainer(
    contract_type=ContractType.model_validate(
        {
            "contractName": "Voucher",
            "abi": ORDER["voucher"]["abi"],
            "deploymentBytecode": {"bytecode": ORDER["voucher"]["bytecode"]},
        }
    )
)


def me() -> AccountAPI:
    """The first account of the test phrase, which Ape signs for by itself."""
    return accounts.test_accounts[0]


def told(event: Any) -> dict[str, Any]:
    arguments = event.event_arguments
    return {"from": arguments["from"], "to": arguments["to"], "value": arguments["value"]}


def deploy() -> dict[str, Any]:
    token = FOUND["token"] = me().deploy(CONTRACT, 10**21)
    return {
        "status": token.creation_metadata.receipt.status,
        "address": token.address,
        "code": token.code.to_0x_hex(),
        "name": token.name(),
        "supply": token.totalSupply(),
    }


def log_query() -> dict[str, Any]:
    token = FOUND["token"]
    receipts = [token.transfer(FRIEND, amount, sender=me()) for amount in (31, 32)]
    first, last = (receipt.block_number for receipt in receipts)
    search = {"to": FRIEND}
    found = list(token.Transfer.range(first, last + 1, search_topics=search))
    none = list(token.Transfer.range(first, last + 1, search_topics={"from": FRIEND}))
    return {"events": [told(event) for event in found], "others": len(none)}


def fees() -> dict[str, Any]:
    gwei = 10**9
    provider = networks.provider
    suggested = provider.base_fee + provider.priority_fee
    receipt = me().transfer(FRIEND, 1, max_fee=50 * gwei, max_priority_fee=gwei)
    block = provider.get_block(receipt.block_number)
    history = provider.make_request("eth_feeHistory", ["0x1", hex(block.number), [50]])
    return {
        "type": receipt.type,
        "suggested": suggested,
        "base": block.base_fee,
        "tip": gwei,
        "most": 50 * gwei,
        "price": receipt.gas_price,
        "paid": receipt.total_fees_paid,
        "gas": receipt.gas_used,
        "history": int(history["baseFeePerGas"][0], 16),
        "reward": int(history["reward"][0][0], 16),
    }


def revert_reasons() -> dict[str, Any]:
    token = FOUND["token"]
    errors = []
    for kind in range(4):
        try:
            token.refuse.transact(kind, sender=me())
        except ContractLogicError as error:
            errors.append(error)
    receipt = token.transfer(
        *(FRIEND, 5 * 10**21), sender=me(), gas_limit=100_000, raise_on_revert=False
    )
    words, custom, panic, silent = errors
    return {
        "words": words.message,
        "custom": [type(custom).__name__, *custom.inputs.values()],
        "panic": int(panic.message.partition("0x")[2].partition(":")[0], 16),
        "silent": "0x" if silent.message == "Transaction failed." else silent.message,
        "mined": receipt.status,
    }


with networks.parse_network_choice(ORDER["rpc"]):
    perform(deploy, log_query, fees, revert_reasons)
