#pragma version 0.4.3
#pragma evm-version cancun
#pragma optimize gas
"""
@title   The ledger's validators: stake, seats, evidence
@notice  A validator is the address of the key that signs its votes. Whoever first stakes for
         an address owns its stake and alone may add to it. Voting power is stake // UNIT.
         Who votes in an epoch is a *seat*. The protocol itself moves the seats, once per
         epoch, by a rule that reads `candidates` and `seats` (docs/protocol/staking.md).
         All heights are block numbers, all amounts wei.
"""

# Bounds of the arrays; the ledger's own limits are immutables below them.
SEATS_BOUND: constant(uint256) = 1024
CANDIDATES_BOUND: constant(uint256) = 2 * SEATS_BOUND
MOVES_BOUND: constant(uint256) = 128  # seats that may change in one epoch
ROWS_BOUND: constant(uint256) = 64

# The caller of what the protocol does by itself (EIP-4788 and others).
SYSTEM: constant(address) = 0xffffFFFfFFffffffffffffffFfFFFfffFFFfFFfE

# Votes: docs/protocol/consensus.md, section 1.
SIGN_TAG: constant(Bytes[22]) = b"chain-node/consensus/1"
NOTARIZE: constant(uint256) = 1
NULLIFY: constant(uint256) = 2
FINALIZE: constant(uint256) = 3
# Half the order of secp256k1.
HALF_ORDER: constant(uint256) = (
    57896044618658097711785492504343953926418782139537452191302581570759080747168
)

PENALTY_DIVISOR: constant(uint256) = 10  # an offence costs a tenth of the stake
REWARD_DIVISOR: constant(uint256) = 10  # of which a tenth goes to the reporter
EVIDENCE_PER_BLOCK: constant(uint256) = 16
POWER_BOUND: constant(uint256) = 2**60  # of all candidates together

# A candidate or a seat in one word: address, jailed flag (candidates only), power.
ADDRESS_SHIFT: constant(uint256) = 96
JAILED: constant(uint256) = 2**64
POWER_MASK: constant(uint256) = 2**64 - 1

# A term in one word: first epoch, last epoch; the latter is OPEN while it lasts.
OPEN: constant(uint256) = 2**64 - 1

UNIT: immutable(uint256)
SEATS_MAX: immutable(uint256)
EPOCH_LENGTH: immutable(uint256)  # heights; 0: one epoch for ever
EVIDENCE_AGE: immutable(uint256)  # heights after the end of an epoch
UNBONDING: immutable(uint256)  # heights
JAIL: immutable(uint256)  # heights


struct Position:
    owner: address
    stake: uint256
    unbonding: uint256
    release: uint256  # the height from which `unbonding` may be withdrawn
    jailed_until: uint256  # 0: not jailed; stays until unjailed


struct Vote:
    kind: uint8
    epoch: uint64
    view: uint64
    block_hash: bytes32
    parent_view: uint64
    r: uint256
    s: uint256
    y_parity: uint8


struct Row:
    validator: address
    owner: address
    stake: uint256
    unbonding: uint256
    release: uint256
    jailed_until: uint256
    power: uint256  # by stake
    seat: uint256  # power in the newest set
    voting: bool  # has a seat in the epoch of this block


event Staked:
    validator: indexed(address)
    owner: indexed(address)
    amount: uint256
    stake: uint256


event Unstaked:
    validator: indexed(address)
    owner: indexed(address)
    amount: uint256
    stake: uint256
    release: uint256


event Withdrawn:
    validator: indexed(address)
    owner: indexed(address)
    amount: uint256


event Slashed:
    validator: indexed(address)
    reporter: indexed(address)
    epoch: uint256
    view: uint256
    burnt: uint256
    reward: uint256
    jailed_until: uint256


event Unjailed:
    validator: indexed(address)


event Seated:
    validator: indexed(address)
    epoch: uint256  # from which it holds
    power: uint256  # 0: the seat is given up


genesis_hash: public(bytes32)  # known from the first block on
positions: public(HashMap[address, Position])

_candidates: DynArray[uint256, CANDIDATES_BOUND]
_candidate_place: HashMap[address, uint256]  # index + 1
_able: uint256  # candidates with power that are not jailed
_power: uint256  # of all candidates

_seats: DynArray[uint256, SEATS_BOUND]  # of the newest set
_seat_place: HashMap[address, uint256]  # index + 1
_replaced: DynArray[uint256, MOVES_BOUND]  # seats of the set before that are different now

_terms: HashMap[address, HashMap[uint256, uint256]]
_term_count: HashMap[address, uint256]

_punished: HashMap[address, HashMap[uint256, bool]]  # by epoch, or by view in an endless one
_evidence_height: uint256
_evidence_count: uint256  # in the block of that height


@deploy
def __init__(
    unit: uint256,
    seats_max: uint256,
    epoch_length: uint256,
    evidence_age: uint256,
    unbonding: uint256,
    jail: uint256,
):
    assert unit != 0, "unit is 0"
    # The holder of an only seat could never be replaced: the set would be empty in between.
    assert seats_max >= 2 and seats_max <= SEATS_BOUND, "seats out of range"
    assert epoch_length <= 2**48 and evidence_age <= 2**48, "heights out of range"
    assert unbonding <= 2**48 and jail <= 2**48, "heights out of range"
    assert unbonding > evidence_age, "unbonding ends before evidence does"
    UNIT = unit
    SEATS_MAX = seats_max
    EPOCH_LENGTH = epoch_length
    EVIDENCE_AGE = evidence_age
    UNBONDING = unbonding
    JAIL = jail


# -- stake -----------------------------------------------------------------------------------------


@external
@payable
@nonreentrant
def stake(validator: address, instead_of: address = empty(address)):
    """
    @notice  Add the value sent to the validator's stake. When no place is free, `instead_of`
             names a smaller candidate without a seat, whose stake is then given back by way
             of unbonding.
    """
    assert validator != empty(address), "no validator named"
    position: Position = self.positions[validator]
    if position.owner == empty(address):
        position.owner = msg.sender
    assert position.owner == msg.sender, "not the owner"
    assert msg.value != 0, "nothing staked"
    position.stake += msg.value
    assert position.stake >= UNIT, "stake below one unit"
    if self._candidate_place[validator] == 0 and len(self._candidates) >= 2 * SEATS_MAX:
        assert instead_of != empty(address), "no place free"
        self._displace(instead_of, position.stake)
    self.positions[validator] = position
    self._list(validator)
    assert self._power <= POWER_BOUND, "too much power"
    log Staked(
        validator=validator, owner=msg.sender, amount=msg.value, stake=position.stake
    )


@external
@nonreentrant
def unstake(validator: address, amount: uint256):
    """
    @notice  Begin to take stake out: the owner, or the validator itself, which did not choose
             its owner. What is left is at least one unit, or nothing. A second unstaking
             joins the first and delays it.
    """
    position: Position = self.positions[validator]
    assert position.owner != empty(address), "not staked"
    assert msg.sender == position.owner or msg.sender == validator, "not the owner"
    assert amount != 0, "nothing to unstake"
    assert amount <= position.stake, "more than the stake"
    able: uint256 = self._able
    self._unbond(validator, amount)
    left: uint256 = self.positions[validator].stake
    assert left == 0 or left >= UNIT, "stake below one unit"
    assert self._able != 0 or able == 0, "the last validator"


@external
@nonreentrant
def withdraw(validator: address):
    """
    @notice  Pay out what has unbonded. Not while the validator votes with more power than its
             stake gives: a seat is given up some epochs after the stake.
    """
    position: Position = self.positions[validator]
    assert msg.sender == position.owner, "not the owner"
    amount: uint256 = position.unbonding
    assert amount != 0, "nothing to withdraw"
    assert block.number >= position.release, "still unbonding"
    assert self._seat(validator) * UNIT <= position.stake, "still seated"
    position.unbonding = 0
    position.release = 0
    if position.stake == 0:
        position.owner = empty(address)
    self.positions[validator] = position
    log Withdrawn(validator=validator, owner=msg.sender, amount=amount)
    raw_call(msg.sender, b"", value=amount)


@external
def unjail(validator: address):
    """
    @notice  Be a candidate again after the time in jail.
    """
    until: uint256 = self.positions[validator].jailed_until
    assert msg.sender == self.positions[validator].owner, "not the owner"
    assert until != 0, "not jailed"
    assert block.number >= until, "still jailed"
    self.positions[validator].jailed_until = 0
    self._list(validator)
    log Unjailed(validator=validator)


@internal
def _displace(validator: address, stake: uint256):
    """Take a candidate's place for a larger stake."""
    assert self._candidate_place[validator] != 0, "not a candidate"
    assert self._seat_place[validator] == 0, "the other has a seat"
    assert self.positions[validator].stake < stake, "the other has as much"
    self._unbond(validator, self.positions[validator].stake)


@internal
def _unbond(validator: address, amount: uint256):
    """Move stake to unbonding; it stays at risk until the release.

    A seat outlasts its stake by at least the epoch after this one, and evidence of that
    epoch must still find what it takes.
    """
    position: Position = self.positions[validator]
    position.stake -= amount
    position.unbonding += amount
    position.release = max(position.release, block.number + UNBONDING)
    if EPOCH_LENGTH != 0:
        position.release = max(position.release, self._evidence_end(self._epoch() + 1) + 1)
    self.positions[validator] = position
    self._list(validator)
    log Unstaked(
        validator=validator,
        owner=position.owner,
        amount=amount,
        stake=position.stake,
        release=position.release,
    )


@internal
def _list(validator: address):
    """Bring the list of candidates and its sums up to a position."""
    place: uint256 = self._candidate_place[validator]
    old: uint256 = 0
    if place != 0:
        old = self._candidates[place - 1]
    new: uint256 = 0
    stake: uint256 = self.positions[validator].stake
    if stake != 0:
        power: uint256 = stake // UNIT
        assert power <= POWER_BOUND, "too much power"
        new = (convert(validator, uint256) << ADDRESS_SHIFT) | power
        if self.positions[validator].jailed_until != 0:
            new |= JAILED
    self._power = self._power + (new & POWER_MASK) - (old & POWER_MASK)
    if self._is_able(new):
        self._able += 1
    if self._is_able(old):
        self._able -= 1
    if new == 0:
        if place != 0:
            last: uint256 = self._candidates.pop()
            if last != old:
                self._candidates[place - 1] = last
                self._candidate_place[self._address(last)] = place
            self._candidate_place[validator] = 0
    elif place == 0:
        self._candidates.append(new)
        self._candidate_place[validator] = len(self._candidates)
    elif new != old:
        self._candidates[place - 1] = new


# -- evidence --------------------------------------------------------------------------------------


@external
@nonreentrant
def slash(first: Vote, second: Vote):
    """
    @notice  Punish the signer of two votes that exclude each other: a part of the stake is
             burnt, a part of that goes to the caller, and the validator is jailed. An epoch's
             offences count as one.
    """
    self._count_evidence()
    assert first.epoch == second.epoch and first.view == second.view, "different views"
    assert self._exclude(first, second), "no contradiction"
    validator: address = self._signer(first)
    assert self._signer(second) == validator, "different signers"
    epoch: uint256 = convert(first.epoch, uint256)
    view: uint256 = convert(first.view, uint256)
    assert epoch <= self._epoch(), "not yet that epoch"
    if EPOCH_LENGTH != 0:
        assert block.number <= self._evidence_end(epoch), "too old"
    assert self._had_seat(validator, epoch), "not a validator then"
    occasion: uint256 = epoch
    if EPOCH_LENGTH == 0:
        occasion = view
    assert not self._punished[validator][occasion], "punished already"
    self._punished[validator][occasion] = True

    position: Position = self.positions[validator]
    from_stake: uint256 = position.stake // PENALTY_DIVISOR
    from_unbonding: uint256 = position.unbonding // PENALTY_DIVISOR
    penalty: uint256 = from_stake + from_unbonding
    reward: uint256 = penalty // REWARD_DIVISOR
    position.stake -= from_stake
    position.unbonding -= from_unbonding
    position.jailed_until = max(position.jailed_until, block.number + JAIL)
    self.positions[validator] = position
    self._list(validator)
    log Slashed(
        validator=validator,
        reporter=msg.sender,
        epoch=epoch,
        view=view,
        burnt=penalty - reward,
        reward=reward,
        jailed_until=position.jailed_until,
    )
    # Nobody has the key of the zero address.
    raw_call(empty(address), b"", value=penalty - reward)
    raw_call(msg.sender, b"", value=reward)


@internal
def _count_evidence():
    if self._evidence_height != block.number:
        self._evidence_height = block.number
        self._evidence_count = 0
    assert self._evidence_count < EVIDENCE_PER_BLOCK, "too much evidence in this block"
    self._evidence_count += 1


@internal
@pure
def _exclude(first: Vote, second: Vote) -> bool:
    """The four kinds of section 6: all but NULLIFY with NOTARIZE, and votes for one block."""
    one: uint256 = convert(first.kind, uint256)
    other: uint256 = convert(second.kind, uint256)
    if one == NULLIFY:
        return other == FINALIZE
    if other == NULLIFY:
        return one == FINALIZE
    return first.block_hash != second.block_hash


@internal
@view
def _signer(vote: Vote) -> address:
    """The address whose key signed; reverts for what is no canonical vote."""
    kind: uint256 = convert(vote.kind, uint256)
    assert kind >= NOTARIZE and kind <= FINALIZE, "unknown kind of vote"
    if kind == NULLIFY:
        assert vote.block_hash == empty(bytes32) and vote.parent_view == 0, "a nullify with a block"
    assert vote.s <= HALF_ORDER and vote.y_parity <= 1, "bad signature"
    assert self.genesis_hash != empty(bytes32), "before the first block"
    message: bytes32 = keccak256(
        concat(
            SIGN_TAG,
            convert(chain.id, bytes32),
            self.genesis_hash,
            convert(vote.kind, bytes1),
            convert(vote.epoch, bytes8),
            convert(vote.view, bytes8),
            vote.block_hash,
            convert(vote.parent_view, bytes8),
        )
    )
    signer: address = ecrecover(message, 27 + convert(vote.y_parity, uint256), vote.r, vote.s)
    assert signer != empty(address), "bad signature"
    return signer


@internal
@view
def _had_seat(validator: address, epoch: uint256) -> bool:
    """Whether a term of the validator covers the epoch; the newest terms first."""
    count: uint256 = self._term_count[validator]
    for back: uint256 in range(1, 4097):
        if back > count:
            return False
        term: uint256 = self._terms[validator][count - back]
        if term & POWER_MASK < epoch:
            return False
        if term >> ADDRESS_SHIFT <= epoch:
            return True
    return False


# -- seats -----------------------------------------------------------------------------------------


@external
def begin(genesis_hash: bytes32):
    """
    @notice  Called by the protocol before the first block's transactions: a genesis can't
             hold its own hash.
    """
    assert msg.sender == SYSTEM, "only the protocol"
    assert block.number == 1, "only in the first block"
    self.genesis_hash = genesis_hash


@external
def move_seats(moves: DynArray[uint256, MOVES_BOUND]):
    """
    @notice  Called by the protocol before the transactions of an epoch's first block: turns the
             set of the next epoch into that of the one after it. A move is an address and its
             new power, 0 to give up the seat. At genesis it makes the first set.
    """
    assert msg.sender == SYSTEM, "only the protocol"
    starts: uint256 = 0
    if block.number != 0:
        starts = self._epoch() + 1
    self._replaced = []
    for move: uint256 in moves:
        self._move_seat(move, starts)


@internal
def _move_seat(move: uint256, starts: uint256):
    validator: address = self._address(move)
    power: uint256 = move & POWER_MASK
    place: uint256 = self._seat_place[validator]
    old: uint256 = (move >> ADDRESS_SHIFT) << ADDRESS_SHIFT  # no seat: power 0
    if place != 0:
        old = self._seats[place - 1]
    self._replaced.append(old)
    terms: uint256 = self._term_count[validator]
    if power == 0:
        last: uint256 = self._seats.pop()
        if last != old:
            self._seats[place - 1] = last
            self._seat_place[self._address(last)] = place
        self._seat_place[validator] = 0
        first: uint256 = self._terms[validator][terms - 1] >> ADDRESS_SHIFT
        self._terms[validator][terms - 1] = (first << ADDRESS_SHIFT) | (starts - 1)
    elif place == 0:
        self._seats.append(move)
        self._seat_place[validator] = len(self._seats)
        self._terms[validator][terms] = (starts << ADDRESS_SHIFT) | OPEN
        self._term_count[validator] = terms + 1
    else:
        self._seats[place - 1] = move
    if power < old & POWER_MASK and self.positions[validator].unbonding != 0:
        # It votes with the old power until the end of this epoch.
        self.positions[validator].release = max(
            self.positions[validator].release, self._evidence_end(starts - 1) + 1
        )
    log Seated(validator=validator, epoch=starts, power=power)


# -- reading ---------------------------------------------------------------------------------------


@external
@view
def candidates() -> DynArray[uint256, CANDIDATES_BOUND]:
    """
    @notice  Everybody with stake, in no order: address << 96 | jailed << 64 | power.
    """
    return self._candidates


@external
@view
def seats() -> (DynArray[uint256, SEATS_BOUND], DynArray[uint256, MOVES_BOUND]):
    """
    @notice  The set of the epoch after this one, in no order, and what in it was otherwise in
             the set of this epoch: address << 96 | power, where power 0 means no seat.
    """
    return self._seats, self._replaced


@external
@view
def had_seat(validator: address, epoch: uint256) -> bool:
    return self._had_seat(validator, epoch)


@external
@view
def rows(validators: DynArray[address, ROWS_BOUND]) -> DynArray[Row, ROWS_BOUND]:
    """
    @notice  What is known of each of the validators.
    """
    found: DynArray[Row, ROWS_BOUND] = []
    for validator: address in validators:
        position: Position = self.positions[validator]
        found.append(
            Row(
                validator=validator,
                owner=position.owner,
                stake=position.stake,
                unbonding=position.unbonding,
                release=position.release,
                jailed_until=position.jailed_until,
                power=position.stake // UNIT,
                seat=self._seat(validator),
                voting=self._had_seat(validator, self._epoch()),
            )
        )
    return found


@external
@view
def parameters() -> (uint256, uint256, uint256, uint256, uint256, uint256):
    """
    @notice  Unit, most seats, epoch length, evidence age, unbonding, jail.
    """
    return UNIT, SEATS_MAX, EPOCH_LENGTH, EVIDENCE_AGE, UNBONDING, JAIL


@internal
@view
def _epoch() -> uint256:
    """The epoch of this block."""
    if EPOCH_LENGTH == 0 or block.number == 0:
        return 0
    return (block.number - 1) // EPOCH_LENGTH


@internal
@view
def _evidence_end(epoch: uint256) -> uint256:
    """The last height at which votes of the epoch are punished."""
    return (epoch + 1) * EPOCH_LENGTH + EVIDENCE_AGE


@internal
@view
def _seat(validator: address) -> uint256:
    """The validator's power in the newest set."""
    place: uint256 = self._seat_place[validator]
    if place == 0:
        return 0
    return self._seats[place - 1] & POWER_MASK


@internal
@pure
def _is_able(candidate: uint256) -> bool:
    return candidate & POWER_MASK != 0 and candidate & JAILED == 0


@internal
@pure
def _address(packed: uint256) -> address:
    return convert(packed >> ADDRESS_SHIFT, address)
