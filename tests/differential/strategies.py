"""Whole cases: accounts with programs, and transactions that mostly fit them."""

from hypothesis import strategies as st

from chain.forks import Fork
from tests.differential import envelopes
from tests.differential.cases import CHAIN_ID, FORKS, Case, PreAccount, Surroundings
from tests.differential.programs import (
    COINBASE,
    CONTRACTS,
    EMPTY,
    FUNDED,
    INITCODES,
    PRECOMPILES,
    programs,
    slots,
)

KEYS = tuple(bytes(31) + bytes((n,)) for n in (1, 2, 3))
SENDERS = tuple(envelopes.address_of(key) for key in KEYS)
_BALANCE = 10**20


@st.composite
def _accounts(draw: st.DrawFn, fork: Fork) -> dict[bytes, PreAccount]:
    storages = st.one_of(
        st.dictionaries(slots, st.sampled_from((1, 2, 2**255)), max_size=2),
        st.just({0: 1, 1: 2, 2: 2**255, 3: 1}),
    )
    accounts = {
        address: PreAccount(
            balance=draw(st.sampled_from((0, 1, 10**6))),
            nonce=1,
            code=draw(programs(fork)),
            storage=draw(storages),
        )
        for address in CONTRACTS
    }
    for sender in SENDERS:
        accounts[sender] = PreAccount(balance=_BALANCE, nonce=draw(st.integers(0, 1)))
    if fork.delegations and draw(st.booleans()):
        # One sender is delegated already.
        accounts[SENDERS[0]] = PreAccount(
            balance=_BALANCE,
            nonce=0,
            code=b"\xef\x01\x00" + draw(st.sampled_from((*CONTRACTS, *PRECOMPILES[:2]))),
        )
    accounts[FUNDED] = PreAccount(balance=5)
    return accounts


@st.composite
def _transaction(draw: st.DrawFn, fork: Fork, nonces: dict[bytes, int], base_fee: int) -> bytes:
    """A transaction of a kind the fork knows, now and then with something wrong."""
    which = draw(st.integers(0, len(KEYS) - 1))
    key, sender = KEYS[which], SENDERS[which]
    nonce = nonces[sender]
    if draw(st.integers(0, 19)) == 0:
        nonce += draw(st.sampled_from((-1, 1, 2**64 - 1)))
        nonce = max(0, min(nonce, 2**64 - 1))
    else:
        nonces[sender] += 1
    kind = draw(st.sampled_from(sorted(fork.transaction_kinds)))
    if draw(st.integers(0, 39)) == 0:
        kind = draw(st.integers(0, 4))
    to = draw(
        st.one_of(
            st.sampled_from(CONTRACTS),
            st.sampled_from(CONTRACTS),
            st.just(b""),
            st.sampled_from((EMPTY, COINBASE, FUNDED, *SENDERS, *PRECOMPILES)),
        )
    )
    if to:
        data = draw(st.binary(max_size=70))
    else:
        data = draw(st.one_of(programs(fork, 8), st.sampled_from(INITCODES)))
    gas = draw(
        st.one_of(
            st.integers(100_000, 800_000),
            st.integers(100_000, 800_000),
            st.integers(100_000, 2_000_000),
            st.integers(20_000, 80_000),
            st.sampled_from((21_000, 53_000, 2**24, 2**24 + 1, 50_000_000)),
        )
    )
    value = draw(st.sampled_from((0, 0, 0, 1, 10**6, _BALANCE)))
    price = draw(
        st.sampled_from((*(base_fee,) * 4, *(2 * base_fee + 1,) * 4, 10**9, max(0, base_fee - 1)))
    )
    tip = draw(st.sampled_from((*(0, 1, 2, price) * 3, price + 1)))
    listed = draw(
        st.lists(
            st.tuples(
                st.sampled_from((*CONTRACTS, EMPTY)),
                st.lists(slots.map(lambda n: n.to_bytes(32, "big")), max_size=2),
            ),
            max_size=2,
        )
    )
    access = [[address, keys] for address, keys in listed]
    if kind == 0:
        fields = [nonce, price, gas, to, value, data]
        return envelopes.legacy(
            key, fields, protected=fork.replay_protection and draw(st.booleans())
        )
    if kind == 1:
        return envelopes.typed(key, 1, [CHAIN_ID, nonce, price, gas, to, value, data, access])
    fields = [CHAIN_ID, nonce, tip, price, gas, to, value, data, access]
    if kind == 3:
        count = draw(st.sampled_from((1, 2, 6, 1, 2, 6, 0, 7)))
        versions = [draw(st.sampled_from((1,) * 20 + (2,))) for _ in range(count)]
        blob_fee = draw(st.sampled_from((1, 10, 10**9, 0)))
        fields += [blob_fee, [bytes((version,)) + bytes(31) for version in versions]]
    if kind == 4:
        fields.append(draw(_authorizations(nonces)))
    return envelopes.typed(key, kind, fields)


@st.composite
def _authorizations(draw: st.DrawFn, nonces: dict[bytes, int]) -> list[object]:
    found: list[object] = []
    for _ in range(draw(st.sampled_from((1, 1, 2, 3, 0)))):
        which = draw(st.integers(0, len(KEYS) - 1))
        signer = SENDERS[which]
        nonce = nonces[signer] + draw(st.sampled_from((0, 0, 0, 1)))
        target = draw(st.sampled_from((*CONTRACTS, EMPTY, bytes(20), PRECOMPILES[0], signer)))
        found.append(
            envelopes.authorization(
                KEYS[which], draw(st.sampled_from((0, CHAIN_ID, 2))), target, nonce
            )
        )
        if nonce == nonces[signer]:
            nonces[signer] += 1
    return found


@st.composite
def cases(draw: st.DrawFn, fork_name: str) -> Case:
    """One to four transactions in one block of the fork."""
    fork = FORKS[fork_name]
    accounts = draw(_accounts(fork))
    base_fee = draw(st.sampled_from((7, 1000))) if fork.base_fee else 1
    nonces = {sender: accounts[sender].nonce for sender in SENDERS}
    return Case(
        fork=fork_name,
        surroundings=Surroundings(
            coinbase=draw(st.sampled_from((COINBASE, COINBASE, SENDERS[1], CONTRACTS[0], EMPTY))),
            base_fee=base_fee,
            excess_blob_gas=draw(st.sampled_from((0, 2**17, 20_000_000))) if fork.blobs else 0,
        ),
        accounts=accounts,
        transactions=[
            draw(_transaction(fork, nonces, base_fee)) for _ in range(draw(st.integers(1, 4)))
        ],
    )
