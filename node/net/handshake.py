"""Who is at the other end: two hellos, two proofs. Knows no socket, clock or randomness.

    dialling node -> Hello          listening node -> Hello
    dialling node -> Proof          listening node -> Proof

A proof signs both hellos, byte by byte, and the fingerprint of the listening node's TLS
certificate as the signer knows it. An interceptor shows the dialling side another
certificate, so the two sides sign different things; a replay lacks the fresh nonces; a
signature of the other side's role is none of mine. Source: docs/protocol/wire.md.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from chain.crypto.keccak import keccak
from chain.crypto.secp256k1 import HALF_ORDER, address_of, recover, sign
from chain.errors import Reason, Rejected
from chain.types import Hash
from node.net.messages import PROTOCOL_VERSION, Fixed20, Fixed32, Goodbye, encode_message
from node.net.network import PeerId

HANDSHAKE_BYTES_MAX: Final = 4096  # of any frame before the link is proved
NONCE_SIZE: Final = 32
_SIGNATURE_SIZE: Final = 65  # r, s, y parity
_NODE_TAG: Final = b"chain-node/link/1"
_VALIDATOR_TAG: Final = b"chain-node/link-validator/1"
_GOODBYE: Final = b"\x14"  # the number of a goodbye, encoded
_MAGIC: Final = b"\xaachain-node"

Signature = Annotated[bytes, Meta(min_length=_SIGNATURE_SIZE, max_length=_SIGNATURE_SIZE)]
Agent = Annotated[str, Meta(max_length=64)]


class Hello(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Who the sender says it is. The first two elements are the same in every version."""

    magic: Literal["chain-node"]
    version: int
    chain_id: Fixed32  # a number, big-endian
    genesis_hash: Fixed32
    node: Fixed20  # the address of the node key
    nonce: Fixed32
    port: Annotated[int, Meta(ge=0, le=65_535)]  # where it listens; 0: nowhere
    agent: Agent  # name and version of the program


class Proof(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Signatures over the whole exchange by the node key and, if it has one, the validator's."""

    magic: Literal["chain-node/proof"]
    signature: Signature
    validator: Annotated[bytes, Meta(max_length=20)] = b""
    validator_signature: Annotated[bytes, Meta(max_length=_SIGNATURE_SIZE)] = b""


class Identity(Struct, frozen=True):
    """This node, as all its links show it."""

    node_key: bytes
    validator_key: bytes | None
    chain_id: int
    genesis_hash: Hash
    port: int = 0
    agent: str = ""
    version: int = PROTOCOL_VERSION

    @property
    def node(self) -> PeerId:
        return PeerId(address_of(self.node_key))


class Proven(Struct, frozen=True):
    """The other end, proved."""

    node: PeerId
    validator: bytes  # its address; empty: no validator
    port: int  # where it listens; 0: nowhere
    agent: str


class Handshake:
    """One side of one link. `start` once, then `receive` each frame until `proven` is there."""

    def __init__(
        self,
        identity: Identity,
        *,
        dialling: bool,
        nonce: bytes,
        fingerprint: bytes,
        expected: PeerId | None = None,
    ) -> None:
        """`nonce` is fresh randomness, 32 bytes. `fingerprint` is that of the listening node's
        certificate: my own, or the one I was shown. `expected` is the node that I dialled.
        """
        assert len(nonce) == NONCE_SIZE
        self.proven: Proven | None = None
        self._identity = identity
        self._dialling = dialling
        self._fingerprint = fingerprint
        self._expected = expected
        self._mine = _encode(
            Hello(
                "chain-node",
                identity.version,
                identity.chain_id.to_bytes(32, "big"),
                identity.genesis_hash,
                identity.node,
                nonce,
                identity.port,
                identity.agent,
            )
        )
        self._theirs = b""
        self._hello: Hello | None = None

    def start(self) -> tuple[bytes, ...]:
        """The frames that this side sends before it has received any."""
        return (self._mine,) if self._dialling else ()

    def receive(self, frame: bytes) -> tuple[bytes, ...]:
        """Take a frame; the frames to answer with. Raises Rejected, and the link must end:

        WRONG_PROTOCOL_VERSION, WRONG_CHAIN, WRONG_PEER, SELF_CONNECTION, BAD_HANDSHAKE, or what
        the other side said in its goodbye.
        """
        if len(frame) > HANDSHAKE_BYTES_MAX or self.proven is not None:
            raise Rejected(Reason.BAD_HANDSHAKE, "more than a handshake consists of")
        if self._hello is None:
            self._hello = self._check_hello(frame)
            self._theirs = frame
            return (self._proof(),) if self._dialling else (self._mine,)
        proof: Proof = _decode(frame, Proof)
        self.proven = self._check_proof(self._hello, proof)
        return () if self._dialling else (self._proof(),)

    def _check_hello(self, frame: bytes) -> Hello:
        identity = self._identity
        hello: Hello = _decode(frame, Hello, identity.version)
        if hello.node == identity.node:
            raise Rejected(Reason.SELF_CONNECTION, "this is the node itself, or has its key")
        chain_id = int.from_bytes(hello.chain_id, "big")
        if chain_id != identity.chain_id:
            raise Rejected(
                Reason.WRONG_CHAIN, f"chain id {chain_id} instead of {identity.chain_id}"
            )
        if hello.genesis_hash != identity.genesis_hash:
            raise Rejected(
                Reason.WRONG_CHAIN,
                f"genesis 0x{hello.genesis_hash.hex()} instead of 0x{identity.genesis_hash.hex()}",
            )
        if self._expected is not None and hello.node != self._expected:
            raise Rejected(
                Reason.WRONG_PEER, f"node {hello.node.hex()} instead of {self._expected.hex()}"
            )
        return hello

    def _check_proof(self, hello: Hello, proof: Proof) -> Proven:
        message = self._transcript(_NODE_TAG, by_dialling=not self._dialling)
        if not _signed_by(message, proof.signature, hello.node):
            raise Rejected(
                Reason.BAD_HANDSHAKE, "the node key did not sign this link: somebody is in between"
            )
        if proof.validator:
            message = self._transcript(_VALIDATOR_TAG, by_dialling=not self._dialling)
            if not _signed_by(message, proof.validator_signature, proof.validator):
                raise Rejected(Reason.BAD_HANDSHAKE, "the validator's key did not sign this link")
        elif proof.validator_signature:
            raise Rejected(Reason.BAD_HANDSHAKE, "a signature of no validator")
        return Proven(PeerId(hello.node), proof.validator, hello.port, hello.agent)

    def _proof(self) -> bytes:
        identity = self._identity
        message = self._transcript(_NODE_TAG, by_dialling=self._dialling)
        signature = _sign(message, identity.node_key)
        key = identity.validator_key
        if key is None:
            return _encode(Proof("chain-node/proof", signature))
        message = self._transcript(_VALIDATOR_TAG, by_dialling=self._dialling)
        return _encode(Proof("chain-node/proof", signature, address_of(key), _sign(message, key)))

    def _transcript(self, tag: bytes, *, by_dialling: bool) -> Hash:
        dialler, listener = self._mine, self._theirs
        if not self._dialling:
            dialler, listener = listener, dialler
        return Hash(
            keccak(
                tag + bytes((by_dialling,)) + self._fingerprint + keccak(dialler) + keccak(listener)
            )
        )


def goodbye(rejected: Rejected) -> bytes:
    """The frame that says why a link ends; the same in every version of the protocol."""
    return encode_message(Goodbye(rejected.reason.value, rejected.detail[:256]))


def _encode(message: Hello | Proof) -> bytes:
    return msgspec.msgpack.encode(message)


def _decode(frame: bytes, kind: Any, version: int | None = None) -> Any:
    """A frame of the handshake; `version` is checked before the shape of what depends on it."""
    try:
        parts = msgspec.msgpack.decode(frame, type=list[Raw])
        if len(parts) == 3 and bytes(parts[0]) == _GOODBYE:
            raise _refusal_of(msgspec.msgpack.decode(frame, type=Goodbye))
        if version is not None and len(parts) > 1 and bytes(parts[0]) == _MAGIC:
            theirs = msgspec.msgpack.decode(parts[1], type=int)
            if theirs != version:
                raise Rejected(
                    Reason.WRONG_PROTOCOL_VERSION,
                    f"this node speaks version {version}, its peer version {theirs}",
                )
        return msgspec.msgpack.decode(frame, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Rejected(Reason.BAD_HANDSHAKE, f"not a frame of a handshake: {error}") from None


def _refusal_of(said: Goodbye) -> Rejected:
    """What the other side said before it closed."""
    known = {reason.value: reason for reason in Reason}
    return Rejected(
        known.get(said.reason, Reason.BAD_HANDSHAKE), f"said by the peer: {said.detail}"
    )


def _sign(message: bytes, key: bytes) -> bytes:
    y_parity, r, s = sign(message, key)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((y_parity,))


def _signed_by(message: bytes, signature: bytes, signer: bytes) -> bool:
    """Whether the signature, in its one canonical form, is the signer's."""
    if len(signature) != _SIGNATURE_SIZE:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return s <= HALF_ORDER and recover(message, signature[64], r, s) == signer
