"""Small builders of signed things."""

from chain import codec
from chain.crypto import secp256k1
from chain.crypto.keccak import keccak
from chain.transactions import Authorization
from chain.types import Address


def authorization(key: bytes, *, chain_id: int, address: Address, nonce: int) -> Authorization:
    """An authorization signed with `key` (EIP-7702)."""
    payload = codec.encode_list(
        (codec.encode_int(chain_id), codec.encode_bytes(address), codec.encode_int(nonce))
    )
    y_parity, r, s = secp256k1.sign(keccak(b"\x05" + payload), key)
    return Authorization(chain_id, address, nonce, y_parity, r, s)
