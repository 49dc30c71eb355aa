"""The blocks and transactions in a dump, as anvil 1.x writes and reads them."""

from itertools import pairwise
from typing import Any, Final

from chain.blocks import Block, Receipt
from chain.ledger import Ledger
from chain.types import Height
from node.devchain.dump import past_states, states_of
from node.devchain.dump_file import States
from node.rpc.formats import Json, data, header_json, receipts_json, transaction_json

BLOCKS_MAX: Final = 10_000  # the newest, in one dump


def blocks_of(ledger: Ledger) -> tuple[list[Json], list[Json]]:
    """The newest blocks, lowest first, and the transactions in them with their receipts."""
    blocks: list[Json] = []
    transactions: list[Json] = []
    last = ledger.height
    for number in range(max(ledger.first, last + 1 - BLOCKS_MAX), last + 1):
        height = Height(number)
        block = ledger.block(height)
        blocks.append(_block(ledger, height, block))
        transactions += _transactions(ledger, height, block)
    return blocks, transactions


def past_of(ledger: Ledger) -> list[Any]:
    """The states after the blocks of `blocks_of` but for the last one, the newest first."""
    lowest = max(ledger.oldest_state, ledger.first, ledger.height + 1 - BLOCKS_MAX)

    def states(height: int, entries_max: int) -> States:
        return states_of(ledger.view(Height(height)), ledger.name_of, entries_max)

    heights = range(ledger.height - 1, lowest - 1, -1)
    return past_states(heights, states, lambda height: ledger.hash_at(Height(height)))


def _block(ledger: Ledger, height: Height, block: Block) -> Json:
    header = header_json(block.header, ledger.hash_at(height))
    del header["hash"]
    # An impersonated one goes without its sender too: anvil would give it another hash.
    bodies = [
        {"transaction": transaction_json(transaction), "impersonated_sender": None}
        for transaction in block.transactions
    ]
    return {"header": header, "transactions": bodies, "ommers": [], "withdrawals": None}


def _transactions(ledger: Ledger, height: Height, block: Block) -> list[Json]:
    if not block.transactions:
        return []
    block_hash, receipts = ledger.hash_at(height), ledger.receipts(height)
    told = receipts_json(block, block_hash, ledger.senders(height), receipts, 0)
    before = pairwise([0, *(receipt.cumulative_gas_used for receipt in receipts)])
    found: list[Json] = []
    for fields, receipt, (start, end) in zip(told, receipts, before, strict=True):
        found.append(
            {
                "info": {
                    "transaction_hash": fields["transactionHash"],
                    "transaction_index": len(found),
                    "from": fields["from"],
                    "to": fields["to"],
                    "contract_address": fields["contractAddress"],
                    "traces": [],
                    "exit": "Stop" if receipt.status else "Revert",
                    "out": None,
                    "nonce": block.transactions[len(found)].nonce,
                    "gas_used": end - start,
                },
                "receipt": _receipt(fields, receipt),
                "block_hash": data(block_hash),
                "block_number": height,
            }
        )
    return found


def _receipt(fields: Json, receipt: Receipt) -> Json:
    return {
        "type": hex(receipt.kind),
        "status": fields["status"],
        "cumulativeGasUsed": fields["cumulativeGasUsed"],
        "logs": fields["logs"],
        "logsBloom": fields["logsBloom"],
    }
