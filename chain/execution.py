"""Blocks run: the one path by which a proposer builds and everybody else applies.

`BlockExecution` runs a block's parts in order; `apply_block` checks a given block
against what running it gives; `BlockBuilder` makes a block out of what it is handed.
Sources: Yellow Paper section 11; EIP-1559, 4788, 4844, 4895, 2935, 7685, 7934.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain

from msgspec import Struct
from msgspec.structs import replace

from chain import headers, requests
from chain.blocks import (
    Block,
    Header,
    Receipt,
    Withdrawal,
    block_size,
    combine_blooms,
    logs_bloom,
    receipts_root,
    transactions_root,
    withdrawals_root,
)
from chain.commitment import Changes, commit
from chain.dao import move_dao_funds
from chain.errors import Reason, Rejected
from chain.forks import (
    BEACON_ROOTS_ADDRESS,
    CONSOLIDATION_REQUESTS_ADDRESS,
    GAS_PER_BLOB,
    HISTORY_STORAGE_ADDRESS,
    SYSTEM_ADDRESS,
    SYSTEM_CALL_GAS,
    WITHDRAWAL_REQUESTS_ADDRESS,
    Fork,
)
from chain.genesis import ChainConfig
from chain.machine import BlockContext, Machine, Message, Outcome, Tracer, TransactionContext
from chain.staking import STAKING_ADDRESS, protocol_call
from chain.state import State
from chain.system_calls import known_output
from chain.transactions import Checked, Transaction
from chain.transition import TransactionResult, apply_transaction
from chain.types import EMPTY_OMMERS_HASH, ZERO_HASH, Address, Hash
from chain.validation import check_ahead
from chain.views import TrieView

BlockHashes = Callable[[int], Hash]
_EMPTY_BLOOM = bytes(256)


class Executed(Struct, frozen=True):
    """A block with everything that running it gave."""

    block: Block
    hash: Hash
    senders: tuple[Address, ...]
    receipts: tuple[Receipt, ...]
    changes: Changes
    total_difficulty: int = 0  # of the chain up to and including this block
    touched: tuple[tuple[Address, ...], ...] = ()  # by transaction: whom it called, paid, asked


def block_context(
    header: Header, fork: Fork, config: ChainConfig, block_hash: BlockHashes
) -> BlockContext:
    """What the machine may know about the block with this header."""
    if fork.merged:
        randomness = int.from_bytes(header.mix_hash, "big")
    else:
        randomness = header.difficulty
    blob_base_fee = 0
    if header.excess_blob_gas is not None:
        blob_base_fee = headers.blob_base_fee(header.excess_blob_gas, fork)
    return BlockContext(
        number=header.number,
        timestamp=header.timestamp,
        coinbase=header.coinbase,
        gas_limit=header.gas_limit,
        chain_id=config.chain_id,
        base_fee=header.base_fee or 0,
        randomness=randomness,
        blob_base_fee=blob_base_fee,
        block_hash=block_hash,
    )


@lru_cache(maxsize=4)
def _members(addresses: tuple[Address, ...]) -> frozenset[Address]:
    """An allow list to look up in, made once and not for each block."""
    return frozenset(addresses)


class BlockExecution:
    """A block in execution on top of a view: opened, fed transactions, finished once."""

    def __init__(
        self,
        view: TrieView,
        header: Header,
        fork: Fork,
        config: ChainConfig,
        machine: Machine,
        block_hash: BlockHashes,
    ) -> None:
        """`header` gives number, time, coinbase, limits and parent; its roots are not read."""
        self.view = view
        self.header = header
        self.fork = fork
        self.config = config
        self.machine = machine
        self.context = block_context(header, fork, config, block_hash)
        self.state = State(view)
        self.receipts: list[Receipt] = []
        self.touched: list[tuple[Address, ...]] = []
        self.requests: tuple[bytes, ...] = ()  # known when finished
        self.gas_used = 0
        self.blob_gas_used = 0
        self.blob_gas_max = fork.blobs.max * GAS_PER_BLOB if fork.blobs else 0
        allowed = config.ledger.allowed_senders
        self._allowed = _members(allowed) if allowed else None
        # Warm from the start of every transaction, whatever it does.
        self._ignored = fork.precompiles | {header.coinbase}
        self._open()

    def _open(self) -> None:
        """What happens before the first transaction."""
        if self.config.dao_fork == self.header.number:
            move_dao_funds(self.state)
        if self.fork.beacon_root and self.header.parent_beacon_root is not None:
            self._system_call(BEACON_ROOTS_ADDRESS, self.header.parent_beacon_root)
        if self.fork.block_hash_history:
            self._system_call(HISTORY_STORAGE_ADDRESS, self.header.parent_hash)
        if self.config.ledger.validators:
            self._tell_validators()

    def _tell_validators(self) -> None:
        """The first blocks of the ledger and of each epoch (docs/protocol/staking.md)."""
        header = self.header
        data = protocol_call(
            self.view, header.number, header.parent_hash, self.machine, self.config
        )
        if data is None:
            return
        outcome = self._system_call(STAKING_ADDRESS, data)
        if outcome.halt:
            raise Rejected(
                Reason.SYSTEM_CALL_FAILED, f"the validator contract: {outcome.halt.value}"
            )

    def run(self, checked: Checked, tracer: Tracer | None = None) -> TransactionResult:
        """Apply the next transaction and record its receipt; `Rejected` leaves all as it was."""
        if self._allowed is not None and checked.sender not in self._allowed:
            raise Rejected(Reason.SENDER_NOT_ALLOWED, f"address 0x{checked.sender.hex()}")
        result = apply_transaction(
            self.state,
            checked,
            self.context,
            self.machine,
            self.fork,
            gas_available=self.context.gas_limit - self.gas_used,
            blob_gas_available=self.blob_gas_max - self.blob_gas_used,
            tracer=tracer,
        )
        self.record(checked.transaction, result)
        return result

    def record(self, transaction: Transaction, result: TransactionResult) -> None:
        """Count the gas of the transaction that `state` just took, and write its receipt."""
        self.gas_used += result.gas_used
        self.blob_gas_used += len(transaction.blob_hashes) * GAS_PER_BLOB
        self.touched.append(self.state.touched_addresses(self._ignored))
        status = post_state = None
        if self.fork.receipt_status:
            status = 0 if result.halt else 1
        else:
            post_state = commit(self.view, self.state.delta()).root
        self.receipts.append(
            Receipt(
                kind=transaction.kind,
                status=status,
                post_state=post_state,
                cumulative_gas_used=self.gas_used,
                logs_bloom=logs_bloom(result.logs) if result.logs else _EMPTY_BLOOM,
                logs=result.logs,
            )
        )

    def finish(
        self, ommers: Sequence[Header], withdrawals: Sequence[Withdrawal] | None
    ) -> tuple[Changes, tuple[bytes, ...]]:
        """Withdrawals, requests and rewards; gives the state change and the requests (EIP-7685)."""
        state = self.state
        state.begin_transaction()
        for withdrawal in withdrawals or ():
            state.add_balance(withdrawal.address, withdrawal.amount * 10**9)
        state.end_transaction(self.fork)
        found = self.requests = self._requests() if self.fork.requests else ()
        state.begin_transaction()
        for address, amount in headers.rewards(self.header, ommers, self.fork):
            state.add_balance(address, amount)
        state.end_transaction(self.fork)
        return commit(self.view, state.delta()), found

    def _requests(self) -> tuple[bytes, ...]:
        logs = [log for receipt in self.receipts for log in receipt.logs]
        deposits = requests.deposits(logs, self.config.deposit_contract)
        withdrawals = self._demand(WITHDRAWAL_REQUESTS_ADDRESS)
        consolidations = self._demand(CONSOLIDATION_REQUESTS_ADDRESS)
        return requests.collect(deposits, withdrawals, consolidations)

    def _demand(self, address: Address) -> bytes:
        """The output of a system contract that the block can't be valid without."""
        if not self.state.code(address):
            raise Rejected(Reason.SYSTEM_CALL_FAILED, f"no code at 0x{address.hex()}")
        outcome = self._system_call(address, b"")
        if outcome.halt:
            raise Rejected(Reason.SYSTEM_CALL_FAILED, f"0x{address.hex()}: {outcome.halt.value}")
        return outcome.output

    def _system_call(self, address: Address, data: bytes) -> Outcome:
        """A call by the protocol itself: its gas counts nowhere and costs nothing."""
        state = self.state
        code = state.code(address)
        if not code:
            return Outcome(SYSTEM_CALL_GAS, b"", None)
        state.begin_transaction()
        output = known_output(state, address, code, data, self.context)
        if output is not None:
            state.end_transaction(self.fork)
            return Outcome(SYSTEM_CALL_GAS, output, None)
        state.prewarm(self.fork.precompiles)
        outcome = self.machine.execute(
            Message(
                caller=SYSTEM_ADDRESS,
                to=address,
                address=address,
                value=0,
                data=data,
                gas=SYSTEM_CALL_GAS,
                code=code,
                code_address=address,
            ),
            state,
            self.context,
            TransactionContext(SYSTEM_ADDRESS, 0),
            self.fork,
        )
        state.end_transaction(self.fork)
        return outcome


def apply_block(
    view: TrieView,
    block: Block,
    parent: Header,
    machine: Machine,
    config: ChainConfig,
    block_hash: BlockHashes,
    *,
    parent_total_difficulty: int = 0,
    senders: Sequence[Address] | None = None,
) -> Executed:
    """Run a block whose parent's state is `view`; everything its header claims must come out.

    Checks all but the seal and the ommers, which `chain.headers` checks. `senders`
    saves the recovery when the transactions were checked for this fork before.
    Raises `Rejected` with the reason for the first claim that fails.
    """
    header = block.header
    fork = config.fork_at(
        header.number, header.timestamp, merged=config.merged_after(parent_total_difficulty)
    )
    headers.check_header(header, parent, fork, config)
    if fork.block_size_max is not None and (size := block_size(block)) > fork.block_size_max:
        raise Rejected(Reason.BLOCK_TOO_LARGE, f"{size} bytes, at most {fork.block_size_max}")
    upcoming = _check_all(block.transactions, senders, fork, config)
    first = next(upcoming, None)  # from here on the other senders are being recovered
    _check_body(block, fork)
    execution = BlockExecution(view, header, fork, config, machine, block_hash)
    found_senders: list[Address] = []
    for item in chain((first,), upcoming) if first is not None else ():
        execution.run(item)
        found_senders.append(item.sender)
    changes, found = execution.finish(block.ommers, block.withdrawals)
    _check_claims(execution, changes, found)
    return Executed(
        block=block,
        hash=headers.header_hash(header),
        senders=tuple(found_senders),
        receipts=tuple(execution.receipts),
        changes=changes,
        total_difficulty=parent_total_difficulty + header.difficulty,
        touched=tuple(execution.touched),
    )


def _check_body(block: Block, fork: Fork) -> None:
    """The body is the one that the header commits to."""
    header = block.header
    if transactions_root(block.transactions) != header.transactions_root:
        raise Rejected(Reason.WRONG_TRANSACTIONS_ROOT, f"block {header.number}")
    if fork.withdrawals != (block.withdrawals is not None):
        raise Rejected(Reason.WRONG_WITHDRAWALS, "present only from Shanghai on")
    if block.withdrawals is not None and (
        withdrawals_root(block.withdrawals) != header.withdrawals_root
    ):
        raise Rejected(Reason.WRONG_WITHDRAWALS, "root differs")
    blob_gas = sum(len(transaction.blob_hashes) for transaction in block.transactions)
    if fork.blobs and blob_gas * GAS_PER_BLOB != header.blob_gas_used:
        raise Rejected(Reason.WRONG_BLOB_GAS, f"{blob_gas} blobs")


def _check_all(
    transactions: Sequence[Transaction],
    senders: Sequence[Address] | None,
    fork: Fork,
    config: ChainConfig,
) -> Iterator[Checked]:
    """The transactions with their senders, in order; the first one refused is raised."""
    if senders is not None:
        yield from (Checked(*pair) for pair in zip(transactions, senders, strict=True))
        return
    for result in check_ahead(transactions, fork, config.chain_id):
        if isinstance(result, Rejected):
            raise result
        yield result


def _check_claims(execution: BlockExecution, changes: Changes, found: tuple[bytes, ...]) -> None:
    """The results that the header claims are the ones that execution gave."""
    header = execution.header
    if execution.gas_used != header.gas_used:
        raise Rejected(
            Reason.WRONG_GAS_USED, f"claimed {header.gas_used}, used {execution.gas_used}"
        )
    if combine_blooms(execution.receipts) != header.logs_bloom:
        raise Rejected(Reason.WRONG_LOGS_BLOOM, f"block {header.number}")
    if receipts_root(execution.receipts) != header.receipts_root:
        raise Rejected(Reason.WRONG_RECEIPTS_ROOT, f"block {header.number}")
    if execution.fork.requests and requests.requests_hash(found) != header.requests_hash:
        raise Rejected(Reason.WRONG_REQUESTS, f"block {header.number}")
    if changes.root != header.state_root:
        raise Rejected(
            Reason.WRONG_STATE_ROOT, f"claimed {header.state_root.hex()}, is {changes.root.hex()}"
        )


class BlockBuilder:
    """A block in the making (merged forks only): add transactions, then seal."""

    def __init__(
        self,
        view: TrieView,
        parent: Header,
        machine: Machine,
        config: ChainConfig,
        block_hash: BlockHashes,
        *,
        timestamp: int,
        coinbase: Address,
        gas_limit: int,
        randomness: Hash,
        beacon_root: Hash = ZERO_HASH,
        withdrawals: tuple[Withdrawal, ...] = (),
        base_fee: int | None = None,
    ) -> None:
        """`base_fee` overrides the one that follows from the parent (developer's chains).

        The genesis' fee recipient, where it names one, takes the place of `coinbase`.
        """
        number = parent.number + 1
        fork = config.fork_at(number, timestamp, merged=True)
        if base_fee is None and fork.base_fee:
            base_fee = headers.base_fee(parent, fork)
        header = Header(
            parent_hash=headers.header_hash(parent),
            ommers_hash=EMPTY_OMMERS_HASH,
            coinbase=config.ledger.fee_recipient or coinbase,
            state_root=ZERO_HASH,
            transactions_root=ZERO_HASH,
            receipts_root=ZERO_HASH,
            logs_bloom=_EMPTY_BLOOM,
            difficulty=0,
            number=number,
            gas_limit=gas_limit,
            gas_used=0,
            timestamp=timestamp,
            extra_data=b"",
            mix_hash=randomness,
            nonce=bytes(8),
            base_fee=base_fee,
            withdrawals_root=ZERO_HASH if fork.withdrawals else None,
            blob_gas_used=0 if fork.blobs else None,
            excess_blob_gas=headers.excess_blob_gas(parent, fork) if fork.blobs else None,
            parent_beacon_root=beacon_root if fork.beacon_root else None,
            requests_hash=ZERO_HASH if fork.requests else None,
        )
        self.execution = BlockExecution(view, header, fork, config, machine, block_hash)
        self.transactions: list[Transaction] = []
        self.senders: list[Address] = []
        self._withdrawals = withdrawals if fork.withdrawals else None

    @property
    def gas_left(self) -> int:
        return self.execution.context.gas_limit - self.execution.gas_used

    def add(self, checked: Checked, tracer: Tracer | None = None) -> TransactionResult:
        """Put the transaction in the block; `Rejected` leaves the block as it was."""
        result = self.execution.run(checked, tracer)
        self.transactions.append(checked.transaction)
        self.senders.append(checked.sender)
        return result

    def seal(self, *, extra_data: bytes = b"", parent_total_difficulty: int = 0) -> Executed:
        """Close the block and give it with its results; the builder is used up."""
        return assemble(
            self.execution,
            self.transactions,
            self.senders,
            self._withdrawals,
            extra_data=extra_data,
            parent_total_difficulty=parent_total_difficulty,
        )


def assemble(
    execution: BlockExecution,
    transactions: Sequence[Transaction],
    senders: Sequence[Address],
    withdrawals: tuple[Withdrawal, ...] | None,
    *,
    extra_data: bytes = b"",
    parent_total_difficulty: int = 0,
) -> Executed:
    """Finish an execution and give the block that claims what came out of it."""
    fork = execution.fork
    changes, found = execution.finish((), withdrawals)
    claims: dict[str, object] = {}
    if withdrawals is not None:
        claims["withdrawals_root"] = withdrawals_root(withdrawals)
    if fork.blobs:
        claims["blob_gas_used"] = execution.blob_gas_used
    if fork.requests:
        claims["requests_hash"] = requests.requests_hash(found)
    header = replace(
        execution.header,
        state_root=changes.root,
        transactions_root=transactions_root(transactions),
        receipts_root=receipts_root(execution.receipts),
        logs_bloom=combine_blooms(execution.receipts),
        gas_used=execution.gas_used,
        extra_data=extra_data,
        **claims,
    )
    return Executed(
        block=Block(header, tuple(transactions), (), withdrawals),
        hash=headers.header_hash(header),
        senders=tuple(senders),
        receipts=tuple(execution.receipts),
        changes=changes,
        total_difficulty=parent_total_difficulty,
        touched=tuple(execution.touched),
    )
