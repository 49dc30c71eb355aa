"""The validator contract on a state of its own: calls, heights that pass, seats that move."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from chain import abi, forks, staking
from chain.activation import ChainConfig, config_of
from chain.commitment import commit
from chain.crypto.keccak import keccak
from chain.crypto.secp256k1 import address_of
from chain.evidence import Evidence, evidence_of
from chain.forks import SYSTEM_ADDRESS
from chain.genesis import GenesisAccount, genesis_delta
from chain.ledger_rules import GenesisValidator, LedgerRules
from chain.machine import BlockContext, Message, Outcome, TransactionContext
from chain.staking import STAKING_ADDRESS, Row
from chain.state import Account, State
from chain.types import ZERO_ADDRESS, ZERO_HASH, Address, Hash
from chain.validators import Ballot, Domain, ValidatorSet, VoteKind, sign_ballot
from chain.views import EmptyView, Overlay
from contracts.system import validators_alloc
from contracts.vm.interpreter import Interpreter

COIN: Final = 10**18
CHAIN_ID: Final = 31_337
GENESIS_HASH: Final = Hash(b"\x47" * 32)
DOMAIN: Final = Domain(CHAIN_ID, GENESIS_HASH)
GAS: Final = 16_777_216  # the most that one transaction can have
MACHINE: Final = Interpreter()


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def account(number: int) -> Address:
    """The address of `key(number)`."""
    return address_of(key(number))


class Reverted(Exception):
    """A call failed; the contract's words, or the halt's name."""


class LiveView:
    """A living state, read as if it did not change."""

    def __init__(self, state: State) -> None:
        self._state = state

    def account(self, address: Address) -> Account | None:
        return self._state.account(address)

    def storage(self, address: Address, slot: int) -> int:
        return self._state.storage(address, slot)

    def code(self, code_hash: Hash) -> bytes:
        return self._state.code_of(code_hash)


class StakeLedger:
    """A ledger of which only the validator contract matters. Accounts have what they need."""

    def __init__(
        self,
        powers: Mapping[int, int] | None = None,
        *,
        epoch_length: int = 10,
        evidence_age: int = 100,
        unbonding: int = 150,
        jail: int = 40,
        seats_max: int = 8,
    ) -> None:
        """`powers` by number of the validator's key."""
        powers = {1: 100, 2: 100, 3: 100, 4: 100} if powers is None else powers
        rules = LedgerRules(
            validators=tuple(GenesisValidator(account(n), power) for n, power in powers.items()),
            epoch_length=epoch_length,
            evidence_age=evidence_age,
            unbonding=unbonding,
        )
        self.config: ChainConfig = replace(config_of(forks.OSAKA, chain_id=CHAIN_ID), ledger=rules)
        self.made: GenesisAccount = validators_alloc(rules, MACHINE, seats_max=seats_max, jail=jail)
        delta = genesis_delta({STAKING_ADDRESS: self.made})
        self.state = State(Overlay(EmptyView(), commit(EmptyView(), delta)))
        self.view = LiveView(self.state)
        self.height = 0
        self.gas_used = 0  # of the last call
        sets = staking.read_sets(self.view, MACHINE, self.config)
        assert sets is not None
        # By epoch, as a driver reads them at the last block of each.
        self.sets: list[ValidatorSet] = list(sets)

    def pass_blocks(self, count: int) -> None:
        """Go on by so many heights; the protocol's own calls happen when they are due."""
        length = self.config.ledger.epoch_length
        for _ in range(count):
            if length and self.height and self.height % length == 0:
                self.sets.append(staking.read_set(self.view, MACHINE, self.config, self.sets[-1]))
            self.height += 1
            data = staking.protocol_call(self.view, self.height, GENESIS_HASH, MACHINE, self.config)
            if data is not None:
                self.run(SYSTEM_ADDRESS, data)

    @property
    def epoch(self) -> int:
        length = self.config.ledger.epoch_length
        return (self.height - 1) // length if length and self.height else 0

    def to_epoch(self, epoch: int) -> None:
        """Go on to the first block of an epoch."""
        self.pass_blocks(epoch * self.config.ledger.epoch_length + 1 - self.height)

    def run(self, caller: Address, data: bytes, value: int = 0) -> Outcome:
        """One message in the present block; `Reverted` when it fails."""
        state = self.state
        gas = forks.SYSTEM_CALL_GAS if caller == SYSTEM_ADDRESS else GAS
        state.begin_transaction()
        state.add_balance(caller, value)
        outcome = MACHINE.execute(
            Message(
                caller=caller,
                to=STAKING_ADDRESS,
                address=STAKING_ADDRESS,
                value=value,
                data=data,
                gas=gas,
                code=state.code(STAKING_ADDRESS),
                code_address=STAKING_ADDRESS,
            ),
            state,
            self._block(),
            TransactionContext(caller, 0),
            forks.OSAKA,
        )
        if outcome.halt is not None:
            state.sub_balance(caller, value)
            words = abi.decode_revert(outcome.output)
            raise Reverted(words if words is not None else outcome.halt.value)
        self.gas_used = gas - outcome.gas_left
        state.end_transaction(forks.OSAKA)
        return outcome

    def _block(self) -> BlockContext:
        return BlockContext(
            number=self.height,
            timestamp=self.height,
            coinbase=ZERO_ADDRESS,
            gas_limit=GAS,
            chain_id=CHAIN_ID,
            base_fee=0,
            randomness=0,
            blob_base_fee=1,
            block_hash=lambda number: ZERO_HASH,
        )

    # -- what people do; numbers are those of keys ---------------------------------

    def stake(self, owner: int, validator: int, amount: int, instead_of: int | None = None) -> None:
        other = None if instead_of is None else account(instead_of)
        self.run(account(owner), staking.stake_call(account(validator), other), amount)

    def unstake(self, caller: int, validator: int, amount: int) -> None:
        self.run(account(caller), staking.unstake_call(account(validator), amount))

    def withdraw(self, caller: int, validator: int) -> None:
        self.run(account(caller), staking.withdraw_call(account(validator)))

    def unjail(self, caller: int, validator: int) -> None:
        self.run(account(caller), staking.unjail_call(account(validator)))

    def slash(self, reporter: int, evidence: Evidence) -> None:
        self.run(account(reporter), staking.slash_call(evidence))

    # -- what is seen --------------------------------------------------------------

    def read(self, data: bytes) -> bytes:
        return self.run(account(99), data).output

    def rows(self, numbers: Sequence[int]) -> dict[int, Row]:
        """What the contract tells of the validators, by number of their keys."""
        answer = self.read(staking.rows_call([account(number) for number in numbers]))
        return dict(zip(numbers, staking.rows_of(answer), strict=True))

    def row(self, number: int) -> Row:
        return self.rows([number])[number]

    def had_seat(self, number: int, epoch: int) -> bool:
        call = abi.encode_call("had_seat(address,uint256)", account(number), epoch)
        return bool(abi.decode_result(("bool",), self.read(call))[0])

    def balance(self, number: int) -> int:
        return self.state.balance(account(number))

    def events(self, signature: str) -> list[tuple[Any, ...]]:
        """The topics, as addresses, and the words of the last call's events of this kind."""
        topic = keccak(signature.encode())
        return [
            (
                *(Address(each[12:]) for each in log.topics[1:]),
                *(
                    int.from_bytes(log.data[at : at + 32], "big")
                    for at in range(0, len(log.data), 32)
                ),
            )
            for log in self.state.logs
            if log.topics[0] == topic
        ]


def double_vote(
    signer: int,
    *,
    epoch: int,
    view: int = 7,
    kinds: tuple[VoteKind, VoteKind] = (VoteKind.NOTARIZE, VoteKind.NOTARIZE),
    domain: Domain = DOMAIN,
) -> Evidence:
    """Two votes of one view; those for blocks are for different ones."""
    hashes = [
        ZERO_HASH if kind is VoteKind.NULLIFY else Hash(bytes((place + 1,)) * 32)
        for place, kind in enumerate(kinds)
    ]
    votes = [
        sign_ballot(
            Ballot(kind, epoch, view, block, 0 if kind is VoteKind.NULLIFY else view - 1),
            domain,
            key(signer),
        )
        for kind, block in zip(kinds, hashes, strict=True)
    ]
    return evidence_of(*votes)
