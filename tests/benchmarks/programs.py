"""What the VM benchmarks run: programs in Vyper and in bytecode, and the messages to them."""

from typing import NamedTuple

import vyper

from chain.crypto.keccak import keccak
from chain.types import Address

USER = Address(b"\x11" * 20)
TARGET = Address(b"\x22" * 20)
FIRST_TOKEN = Address(b"\x33" * 20)
SECOND_TOKEN = Address(b"\x44" * 20)
RICH = 10**30

COMPUTE = """
# pragma version ~=0.4.0
@external
def fibonacci(n: uint256) -> uint256:
    a: uint256 = 0
    b: uint256 = 1
    for i: uint256 in range(n, bound=1000000):
        c: uint256 = unsafe_add(a, b)
        a = b
        b = c
    return a

@external
def sieve(n: uint256) -> uint256:
    crossed: bool[3001] = empty(bool[3001])
    count: uint256 = 0
    for i: uint256 in range(2, n + 1, bound=3001):
        if not crossed[i]:
            count += 1
            j: uint256 = i * i
            for k: uint256 in range(3001):
                if j > n:
                    break
                crossed[j] = True
                j += i
    return count

@external
def sort(n: uint256) -> uint256:
    items: uint256[200] = empty(uint256[200])
    seed: uint256 = 12345
    for i: uint256 in range(n, bound=200):
        seed = unsafe_add(unsafe_mul(seed, 6364136223846793005), 1442695040888963407)
        items[i] = seed >> 128
    for i: uint256 in range(1, n, bound=200):
        moved: uint256 = items[i]
        at: uint256 = i
        for k: uint256 in range(200):
            if at == 0 or items[at - 1] <= moved:
                break
            items[at] = items[at - 1]
            at -= 1
        items[at] = moved
    return items[n // 2]

@external
def mix(n: uint256) -> uint256:
    m: uint256 = 4294967295
    a: uint256 = 1779033703
    b: uint256 = 3144134277
    c: uint256 = 1013904242
    for i: uint256 in range(n, bound=1000000):
        s: uint256 = (((a >> 6) | (a << 26)) ^ ((a >> 11) | (a << 21)) ^ ((a >> 25) | (a << 7))) & m
        t: uint256 = unsafe_add(unsafe_add(s, (a & b) ^ ((~a) & c)), i) & m
        c = b
        b = a
        a = unsafe_add(t, c) & m
    return a ^ (b << 32) ^ (c << 64)

@external
def hashes(n: uint256) -> bytes32:
    h: bytes32 = empty(bytes32)
    for i: uint256 in range(n, bound=1000000):
        h = keccak256(concat(h, convert(i, bytes32)))
    return h

@external
def divisions(n: uint256) -> uint256:
    p: uint256 = 21888242871839275222246405745257275088696311157297823662689037894645226208583
    r: uint256 = 3
    for i: uint256 in range(n, bound=1000000):
        r = uint256_mulmod(r, r, p)
        r = uint256_addmod(r, i, p)
        r = r ^ (r // unsafe_add(i, 7))
    return r
"""

# A ray tracer's inner work in integers: rays against spheres, square roots by Newton, shading.
TRACER = """
# pragma version ~=0.4.0
ONE: constant(int256) = 1000000

struct Vector:
    x: int256
    y: int256
    z: int256

@internal
@pure
def _root(a: int256) -> int256:
    z: int256 = (a + 1) // 2
    y: int256 = a
    for i: uint256 in range(200):
        if z >= y:
            break
        y = z
        z = (a // z + z) // 2
    return y

@internal
@pure
def _dot(a: Vector, b: Vector) -> int256:
    return (a.x * b.x + a.y * b.y + a.z * b.z) // ONE

@internal
@pure
def _normal(a: Vector) -> Vector:
    size: int256 = self._root(a.x * a.x + a.y * a.y + a.z * a.z) + 1
    return Vector(x=a.x * ONE // size, y=a.y * ONE // size, z=a.z * ONE // size)

@internal
@pure
def _hit(way: Vector, sphere: Vector, radius: int256) -> int256:
    b: int256 = self._dot(sphere, way)
    inside: int256 = b * b // ONE - self._dot(sphere, sphere) + radius * radius // ONE
    if inside < 0:
        return 0
    depth: int256 = self._root(inside * ONE)
    if b > depth:
        return b - depth
    return 0

@external
@pure
def trace(side: int256) -> int256:
    light: Vector = self._normal(Vector(x=-ONE, y=2 * ONE, z=-ONE))
    total: int256 = 0
    for row: int256 in range(side, bound=64):
        for column: int256 in range(side, bound=64):
            x: int256 = (2 * column - side) * ONE // side
            y: int256 = (2 * row - side) * ONE // side
            way: Vector = self._normal(Vector(x=x, y=y, z=2 * ONE))
            nearest: int256 = 1000 * ONE
            shade: int256 = 0
            for ball: int256 in range(4):
                at: Vector = Vector(x=(ball - 2) * ONE, y=ball * ONE // 4, z=(4 + ball) * ONE)
                distance: int256 = self._hit(way, at, ONE)
                if distance > 0 and distance < nearest:
                    nearest = distance
                    out: Vector = self._normal(
                        Vector(
                            x=way.x * distance // ONE - at.x,
                            y=way.y * distance // ONE - at.y,
                            z=way.z * distance // ONE - at.z,
                        )
                    )
                    shade = max(self._dot(out, light), 0) + ONE // 10
            total += shade
    return total
"""

TOKEN = """
# pragma version ~=0.4.0
event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    amount: uint256

event Approval:
    owner: indexed(address)
    spender: indexed(address)
    amount: uint256

balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])

@external
def transfer(receiver: address, amount: uint256) -> bool:
    self.balanceOf[msg.sender] -= amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=msg.sender, receiver=receiver, amount=amount)
    return True

@external
def approve(spender: address, amount: uint256) -> bool:
    self.allowance[msg.sender][spender] = amount
    log Approval(owner=msg.sender, spender=spender, amount=amount)
    return True

@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    self.allowance[sender][msg.sender] -= amount
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=sender, receiver=receiver, amount=amount)
    return True
"""

POOL = """
# pragma version ~=0.4.0
interface Token:
    def balanceOf(owner: address) -> uint256: view
    def transfer(receiver: address, amount: uint256) -> bool: nonpayable
    def transferFrom(sender: address, receiver: address, amount: uint256) -> bool: nonpayable

event Swap:
    trader: indexed(address)
    paid: uint256
    received: uint256

FIRST: constant(address) = 0x3333333333333333333333333333333333333333
SECOND: constant(address) = 0x4444444444444444444444444444444444444444

@external
def swap(paid: uint256) -> uint256:
    first: uint256 = staticcall Token(FIRST).balanceOf(self)
    second: uint256 = staticcall Token(SECOND).balanceOf(self)
    with_fee: uint256 = paid * 997
    received: uint256 = with_fee * second // (first * 1000 + with_fee)
    extcall Token(FIRST).transferFrom(msg.sender, self, paid)
    extcall Token(SECOND).transfer(msg.sender, received)
    assert (first + paid) * (second - received) >= first * second
    log Swap(trader=msg.sender, paid=paid, received=received)
    return received
"""


class Program(NamedTuple):
    """A message from USER to TARGET, in a world of contracts."""

    name: str
    group: str
    codes: dict[Address, bytes]
    data: bytes
    storage: dict[Address, dict[int, int]]
    repeats: int = 1
    gas: int = 30_000_000
    first: bool = False  # each round has a state of its own, of which nothing is known yet


def runtime(source: str) -> bytes:
    compiled = vyper.compile_code(source, output_formats=["bytecode_runtime"])
    return bytes.fromhex(compiled["bytecode_runtime"][2:])


def call_data(signature: str, *arguments: int | Address) -> bytes:
    words = (
        bytes(12) + argument if isinstance(argument, bytes) else argument.to_bytes(32, "big")
        for argument in arguments
    )
    return keccak(signature.encode())[:4] + b"".join(words)


def entry(slot: int, *keys: Address) -> int:
    """Where Vyper keeps a mapping's entry: keccak(slot, key), again for each further key."""
    for key in keys:
        slot = int.from_bytes(keccak(slot.to_bytes(32, "big") + bytes(12) + key), "big")
    return slot


def loop(body: str, rounds: int) -> bytes:
    """`body` in hex, run so many times; the counter stays on top of the stack around it."""
    return bytes.fromhex(f"63{rounds:08x}5b{body}6001900380600557" + "00")


def precompile(address: int, rounds: int) -> bytes:
    """Send the message's own data to a precompile, so many times."""
    body = f"60405f365f60{address:02x}5afa50"
    return bytes.fromhex(f"365f5f3763{rounds:08x}5b{body}6001900380600957" + "00")


def recovering() -> bytes:
    """Data for the precompile that recovers a signature's address."""
    from coincurve import PrivateKey

    digest = keccak(b"message")
    signature = PrivateKey(b"\x01" * 32).sign_recoverable(digest, hasher=None)
    v = 27 + signature[64]
    return digest + v.to_bytes(32, "big") + signature[:64]


def programs() -> list[Program]:
    compute, token, pool = runtime(COMPUTE), runtime(TOKEN), runtime(POOL)

    def computing(name: str, group: str, n: int) -> Program:
        data = call_data(f"{name}(uint256)", n)
        return Program(name, group, {TARGET: compute}, data, {}, gas=10**9)

    def coded(name: str, group: str, code: bytes, **fields) -> Program:
        return Program(name, group, {TARGET: code}, fields.pop("data", b""), {}, **fields)

    def of_token(name: str, data: bytes) -> Program:
        slots = {entry(0, USER): RICH, entry(1, USER, USER): RICH}
        return Program(name, "token", {TARGET: token}, data, {TARGET: slots}, repeats=50)

    friend = Address(b"\x55" * 20)
    balances = {
        FIRST_TOKEN: {
            entry(0, USER): RICH, entry(0, TARGET): RICH, entry(1, USER, TARGET): RICH,
        },
        SECOND_TOKEN: {entry(0, USER): RICH, entry(0, TARGET): RICH},
    }  # fmt: skip
    from_user = call_data("transferFrom(address,address,uint256)", USER, friend, 5)
    trading = {TARGET: pool, FIRST_TOKEN: token, SECOND_TOKEN: token}
    return [
        coded("arithmetic loop", "loops", loop("80600302600101" + "50", 50_000), gas=10**9),
        computing("fibonacci", "loops", 5_000),
        computing("sieve", "loops", 3_000),
        computing("sort", "loops", 120),
        computing("mix", "loops", 3_000),
        computing("hashes", "heavy", 2_000),
        computing("divisions", "heavy", 2_000),
        coded("memory copies", "heavy", loop("6104005f6104005e", 5_000), gas=10**9),
        Program(
            "ray tracer",
            "public",
            {TARGET: runtime(TRACER)},
            call_data("trace(int256)", 12),
            {},
            gas=10**9,
        ),
        coded("ten thousand hashes", "public", loop("805f5260205f2050", 20_000), gas=10**9),
        of_token("transfer", call_data("transfer(address,uint256)", friend, 5)),
        of_token("approve", call_data("approve(address,uint256)", friend, 5)),
        of_token("transferFrom", from_user),
        Program("swap", "token", trading, call_data("swap(uint256)", 10**6), balances, repeats=20),
        coded("1,000 nested calls", "calls", NESTED, data=(1_000).to_bytes(32, "big"), gas=10**11),
        coded("10,000 small calls", "calls", MANY, data=b"\x01", gas=10**9),
        coded("storage reads", "worst", loop("805450", 5_000), gas=10**9),
        coded("storage writes", "worst", loop("808055", 2_000), gas=10**9),
        coded("storage reads, never seen", "first", loop("805450", 5_000), gas=10**9, first=True),
        coded("balances, never seen", "first", loop("803150", 5_000), gas=10**9, first=True),
        coded("logs", "worst", loop("6101005fa0", 5_000), gas=10**9),
        coded("balances", "worst", loop("803150", 5_000), gas=10**9),
        coded("memory expansion", "worst", loop("8060051b51" + "50", 50_000), gas=10**9),
        coded("ecrecover", "worst", precompile(1, 300), data=recovering(), gas=10**9),
        coded("sha256", "worst", precompile(2, 3_000), data=b"\x05" * 128, gas=10**9),
        coded("modexp", "worst", precompile(5, 300), data=MODEXP, gas=10**9),
        coded("bn254 pairing", "worst", precompile(8, 20), data=PAIRING, gas=10**9),
    ]


# 32-byte base, exponent and modulus.
MODEXP = b"".join(number.to_bytes(32, "big") for number in (32, 32, 32)) + b"\xfb" * 96
# The generators, and one of them negated: the product of the two pairings is 1.
PAIRING = b"".join(
    number.to_bytes(32, "big")
    for y in (2, 21888242871839275222246405745257275088696311157297823662689037894645226208581)
    for number in (
        1,
        y,
        11559732032986387107991004021392285783925812861821192530917403151452391805634,
        10857046999023057135944570762232829481370756359578518086990519993285655852781,
        4082367875863433681332203403145435568316851327593401208105741076214120093531,
        8495653923123431417604973247489272438418190587263600148770280649306958101930,
    )
)
# With a number n in the data: call itself with n - 1, until it is 0.
NESTED = bytes.fromhex("5f3580156100195760019003" + "5f525f5f60205f5f305af1" + "5b00")
# With data: call itself without data 10,000 times; without data: stop.
MANY = bytes.fromhex("36600557005b6127105b5f5f5f5f5f305af1506001900380600957" + "00")
