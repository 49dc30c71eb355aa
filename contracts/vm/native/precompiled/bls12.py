"""Kernels of the contracts on BLS12-381: bytes checked and taken apart, the rest is blst's.

Meaning, and the order of checks, are those of contracts.vm.precompiles.bls12 and kzg.
"""

from contracts.vm.native.precompiled.blst import (
    BATCH,
    Group,
    Pairings,
    add_affine,
    add_multiples,
    add_points,
    from_affine,
    is_in_group,
    is_on_curve,
    is_one,
    is_reduced,
    map_to_group,
    multiply,
    multiply_values,
    negate,
    read_element,
    read_scalar,
    run_loops,
    take_final_power,
    to_affine,
    uncompress,
    write_element,
)
from contracts.vm.native.precompiled.entries import Contract
from contracts.vm.native.precompiled.exchange import give_output
from contracts.vm.native.precompiled.kernels import hash_sha256
from contracts.vm.native.records import NO_GAS, U64
from contracts.vm.native.words import (
    address_of,
    at,
    clear_bytes,
    inlined,
    load_byte,
    move_bytes,
    room,
    store_byte,
    words_at,
)

ELEMENT = 64  # bytes of a field element in input and output, of which the last 48 count
COMPACT = 48
SCALAR = 32
BITS = 255  # of scalars below the order

# Rooms, in words, for the larger of the two groups.
AFFINE = 24
POINT = 36
VALUE = 72  # of a pairing
POINTS = 3_072  # BATCH affine ones
SCALARS = 512
SCRATCH_WORDS = 4_096
LOOPS = 16  # Miller loops that go together
FIRSTS = 192  # as many affine points of the first group, and of the second
SECONDS = 384

WRONG = 0
INFINITE = 1
FINITE = 2

OPENING = 192  # bytes: versioned hash, z, y, commitment, proof


def is_zero(place: U64, size: U64) -> U64:
    found = 0
    for i in range(size):
        found |= load_byte(place + i)
    return found == 0


def is_element(group: Group, place: U64) -> U64:
    """Whether 64 bytes are a number below the prime."""
    if not is_zero(place, ELEMENT - COMPACT):
        return 0
    number = place + (ELEMENT - COMPACT)
    prime = address_of(group.prime)
    for i in range(COMPACT):
        ours = load_byte(number + i)
        limit = load_byte(prime + i)
        if ours != limit:
            return ours < limit
    return 0


def read_elements(group: Group, out: U64, place: U64, count: U64) -> U64:
    """Elements behind each other; 0 when one is none."""
    for i in range(count):
        if not is_element(group, place + ELEMENT * i):
            return 0
        read_element(group, out + COMPACT * i, place + ELEMENT * i + (ELEMENT - COMPACT))
    return 1


def read_point(group: Group, out: U64, place: U64) -> U64:
    """An affine point of the curve, zeros for infinity: WRONG, INFINITE or FINITE."""
    count = 2 * group.fields
    if is_zero(place, ELEMENT * count):
        clear_bytes(out, COMPACT * count)
        return INFINITE
    if not read_elements(group, out, place, count) or not is_on_curve(group, out):
        return WRONG
    return FINITE


def read_member(group: Group, out: U64, place: U64) -> U64:
    """Likewise; the point has to be in the subgroup."""
    kind = read_point(group, out, place)
    if kind == FINITE and not is_in_group(group, out):
        return WRONG
    return kind


def write_point(contract: Contract, group: Group, point: U64) -> None:
    """The output is this point; the library's affine form of infinity is zeros."""
    affine = address_of(room(AFFINE))
    to_affine(group, affine, point)
    count = 2 * group.fields
    out = address_of(contract.output)
    clear_bytes(out, ELEMENT * count)
    for i in range(count):
        write_element(group, out + ELEMENT * i + (ELEMENT - COMPACT), affine + COMPACT * i)
    give_output(contract, ELEMENT * count)


def run_bls12_add(contract: Contract, data: U64, size: U64, gas: U64) -> U64:
    group = at(Group, contract.constants)
    each = 2 * ELEMENT * group.fields
    if contract.price > gas or size != 2 * each:
        return NO_GAS
    a = address_of(room(AFFINE))
    b = address_of(room(AFFINE))
    if read_point(group, a, data) == WRONG or read_point(group, b, data + each) == WRONG:
        return NO_GAS
    total = address_of(room(POINT))
    from_affine(group, total, a)
    add_affine(group, total, total, b)
    write_point(contract, group, total)
    return gas - contract.price


@inlined
def make_list(place: U64, things: U64) -> None:
    """As the library wants things that are behind each other."""
    words_at(place)[0] = things
    words_at(place)[1] = 0


def add_batch(group: Group, total: U64, points: U64, scalars: U64, count: U64) -> None:
    """Add so many multiples to a sum."""
    part = address_of(room(POINT))
    if count == 1:
        from_affine(group, part, points)
        multiply(group, part, part, scalars, BITS)
    else:
        of_points = address_of(room(2))
        of_scalars = address_of(room(2))
        make_list(of_points, points)
        make_list(of_scalars, scalars)
        scratch = address_of(room(SCRATCH_WORDS))
        add_multiples(group, part, of_points, count, of_scalars, BITS, scratch)
    add_points(group, total, total, part)


def run_bls12_sum(contract: Contract, data: U64, size: U64, gas: U64) -> U64:
    group = at(Group, contract.constants)
    point_size = 2 * ELEMENT * group.fields
    term = point_size + SCALAR
    count = size // term
    cost = 0
    if count > 0:
        discounts = words_at(group.discounts)
        cost = count * contract.unit_price * discounts[min(count, BATCH) - 1] // 1_000
    if cost > gas or count == 0 or count * term != size:
        return NO_GAS
    points = address_of(room(POINTS))
    scalars = address_of(room(SCALARS))
    total = address_of(room(POINT))
    affine_size = 2 * COMPACT * group.fields
    clear_bytes(total, 3 * COMPACT * group.fields)
    begun = 0
    place = data
    while place < data + size:
        kind = read_member(group, points + affine_size * begun, place)
        if kind == WRONG:
            return NO_GAS
        not_zero = read_scalar(group, scalars + SCALAR * begun, place + point_size, SCALAR)
        if kind == FINITE and not_zero:
            begun += 1
        if begun == BATCH:
            add_batch(group, total, points, scalars, begun)
            begun = 0
        place += term
    if begun > 0:
        add_batch(group, total, points, scalars, begun)
    write_point(contract, group, total)
    return gas - cost


def run_bls12_map(contract: Contract, data: U64, size: U64, gas: U64) -> U64:
    group = at(Group, contract.constants)
    if contract.price > gas or size != ELEMENT * group.fields:
        return NO_GAS
    element = address_of(room(AFFINE))
    if not read_elements(group, element, data, group.fields):
        return NO_GAS
    point = address_of(room(POINT))
    map_to_group(group, point, element, 0)
    write_point(contract, group, point)
    return gas - contract.price


def multiply_loops(
    pairings: Pairings, value: U64, firsts: U64, seconds: U64, count: U64, begun: U64
) -> None:
    """Multiply a value, which is 1 unless `begun`, by the Miller loops of so many pairs."""
    of_firsts = address_of(room(2))
    of_seconds = address_of(room(2))
    make_list(of_firsts, firsts)
    make_list(of_seconds, seconds)
    if not begun:
        run_loops(pairings, value, of_seconds, of_firsts, count)
        return
    part = address_of(room(VALUE))
    run_loops(pairings, part, of_seconds, of_firsts, count)
    multiply_values(pairings, value, value, part)


def has_product_one(pairings: Pairings, value: U64) -> U64:
    """Whether Miller loops with this product stand for pairings whose product is 1."""
    final = address_of(room(VALUE))
    take_final_power(pairings, final, value)
    return is_one(pairings, final) != 0


def run_bls12_pairing(contract: Contract, data: U64, size: U64, gas: U64) -> U64:
    pairings = at(Pairings, contract.constants)
    first_group = at(Group, pairings.first)
    second_group = at(Group, pairings.second)
    count = size // (6 * ELEMENT)
    cost = contract.price + contract.unit_price * count
    if cost > gas or count == 0 or count * (6 * ELEMENT) != size:
        return NO_GAS
    firsts = address_of(room(FIRSTS))
    seconds = address_of(room(SECONDS))
    value = address_of(room(VALUE))
    held = 0
    begun = 0
    place = data
    while place < data + size:
        first = read_member(first_group, firsts + 2 * COMPACT * held, place)
        second = read_member(second_group, seconds + 4 * COMPACT * held, place + 2 * ELEMENT)
        if first == WRONG or second == WRONG:
            return NO_GAS
        # With infinity on one side the pairing is 1.
        if first == FINITE and second == FINITE:
            held += 1
        if held == LOOPS:
            multiply_loops(pairings, value, firsts, seconds, held, begun)
            begun = 1
            held = 0
        place += 6 * ELEMENT
    if held > 0:
        multiply_loops(pairings, value, firsts, seconds, held, begun)
        begun = 1
    out = address_of(contract.output)
    clear_bytes(out, 32)
    store_byte(out + 31, has_product_one(pairings, value) if begun else 1)
    give_output(contract, 32)
    return gas - cost


def read_compressed(pairings: Pairings, out: U64, place: U64) -> U64:
    """A member of the first group in 48 bytes; 0 when it is none."""
    group = at(Group, pairings.first)
    if uncompress(pairings, out, place) != 0:
        return 0
    return is_zero(out, 2 * COMPACT) or is_in_group(group, out) != 0


def run_point_evaluation(contract: Contract, data: U64, size: U64, gas: U64) -> U64:
    pairings = at(Pairings, contract.constants)
    group = at(Group, pairings.first)
    if contract.price > gas or size != OPENING:
        return NO_GAS
    digest = address_of(room(4))
    hash_sha256(digest, data + 96, COMPACT)
    store_byte(digest, 1)
    for i in range(32):
        if load_byte(digest + i) != load_byte(data + i):
            return NO_GAS
    z = address_of(room(4))
    y = address_of(room(4))
    for i in range(32):
        store_byte(z + i, load_byte(data + 63 - i))
        store_byte(y + i, load_byte(data + 95 - i))
    if not is_reduced(pairings, z) or not is_reduced(pairings, y):
        return NO_GAS
    commitment = address_of(room(AFFINE))
    proof = address_of(room(AFFINE))
    if not read_compressed(pairings, commitment, data + 96):
        return NO_GAS
    if not read_compressed(pairings, proof, data + 144):
        return NO_GAS
    # The commitment less y times the generator, and z times the proof.
    left = address_of(room(POINT))
    right = address_of(room(POINT))
    multiply(group, left, pairings.generator, y, BITS)
    negate(pairings, left, 1)
    add_affine(group, left, left, commitment)
    from_affine(group, right, proof)
    multiply(group, right, right, z, BITS)
    add_points(group, left, left, right)
    from_affine(group, right, proof)
    negate(pairings, right, 1)
    # e(left, 1) e(-proof, tau) is to be 1.
    firsts = address_of(room(FIRSTS))
    seconds = address_of(room(SECONDS))
    held = 0
    to_affine(group, firsts, left)
    if not is_zero(firsts, 2 * COMPACT):
        move_bytes(seconds, address_of(pairings.second_generator), 4 * COMPACT)
        held = 1
    to_affine(group, firsts + 2 * COMPACT * held, right)
    if not is_zero(proof, 2 * COMPACT):
        move_bytes(seconds + 4 * COMPACT * held, address_of(pairings.tau), 4 * COMPACT)
        held += 1
    if held > 0:
        value = address_of(room(VALUE))
        multiply_loops(pairings, value, firsts, seconds, held, 0)
        if not has_product_one(pairings, value):
            return NO_GAS
    move_bytes(address_of(contract.output), address_of(pairings.evaluated), 64)
    give_output(contract, 64)
    return gas - contract.price
