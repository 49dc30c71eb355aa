"""Names for bytes and integers, and the few constants that everything shares.

`NewType` gives a name to a value without costing anything at run time; the VM
computes on plain `int`.
"""

from typing import Final, NewType

Address = NewType("Address", bytes)  # 20 bytes
Hash = NewType("Hash", bytes)  # 32 bytes
Height = NewType("Height", int)  # blocks since genesis

ZERO_ADDRESS: Final = Address(bytes(20))
ZERO_HASH: Final = Hash(bytes(32))

WORD: Final = 2**256 - 1  # the largest EVM word, used as a mask

# keccak256(b""): the code hash of an account without code.
EMPTY_CODE_HASH: Final = Hash(
    bytes.fromhex("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")
)
# keccak256(rlp(b"")): the root of an empty trie.
EMPTY_ROOT: Final = Hash(
    bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")
)
# keccak256(rlp([])): the ommers hash of a block without ommers.
EMPTY_OMMERS_HASH: Final = Hash(
    bytes.fromhex("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347")
)
