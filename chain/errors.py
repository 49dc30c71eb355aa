"""The three kinds of wrong (see docs/ARCHITECTURE.md).

*Rejected* is someone else's mistake and carries a machine-readable reason.
*Halt* (chain.machine) is a contract's failure and is a value, never an exception.
*Fault* is our bug or our disk: the process stops.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why input was refused. The value is stable and machine-readable."""

    # encoding
    BAD_RLP = "bad_rlp"
    BAD_ABI = "bad_abi"
    BAD_TYPED_DATA = "bad_typed_data"
    BAD_TRANSACTION = "bad_transaction"
    BAD_BLOCK = "bad_block"
    BAD_GENESIS = "bad_genesis"
    BAD_PROOF = "bad_proof"
    TOO_LARGE = "too_large"
    # transaction, stateless
    TYPE_NOT_SUPPORTED = "transaction_type_not_supported"
    WRONG_CHAIN_ID = "wrong_chain_id"
    BAD_SIGNATURE = "bad_signature"
    INTRINSIC_GAS_TOO_LOW = "intrinsic_gas_too_low"
    FLOOR_GAS_TOO_LOW = "floor_gas_too_low"
    GAS_LIMIT_OVER_CAP = "gas_limit_over_cap"
    INITCODE_TOO_LARGE = "initcode_too_large"
    NONCE_OVERFLOW = "nonce_overflow"
    FEE_OVERFLOW = "fee_overflow"
    TIP_ABOVE_FEE_CAP = "tip_above_fee_cap"
    NO_BLOBS = "no_blobs"
    TOO_MANY_BLOBS = "too_many_blobs"
    BAD_BLOB_HASH = "bad_blob_hash"
    BAD_BLOB_PROOF = "bad_blob_proof"
    BLOB_CREATES_CONTRACT = "blob_creates_contract"
    NO_AUTHORIZATIONS = "no_authorizations"
    AUTHORIZATION_CREATES_CONTRACT = "authorization_creates_contract"
    # transaction, against the state and the block
    NONCE_TOO_LOW = "nonce_too_low"
    NONCE_TOO_HIGH = "nonce_too_high"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    FEE_CAP_BELOW_BASE_FEE = "fee_cap_below_base_fee"
    BLOB_FEE_CAP_TOO_LOW = "blob_fee_cap_too_low"
    SENDER_NOT_EOA = "sender_not_eoa"
    BLOCK_GAS_EXCEEDED = "block_gas_exceeded"
    BLOB_GAS_EXCEEDED = "blob_gas_exceeded"
    # pool
    ALREADY_KNOWN = "already_known"
    REPLACEMENT_UNDERPRICED = "replacement_underpriced"
    UNDERPRICED = "underpriced"
    FEE_ABOVE_CAP = "fee_above_cap"
    NOT_REPLAY_PROTECTED = "not_replay_protected"
    POOL_FULL = "pool_full"
    SENDER_LIMIT = "sender_limit"
    # header and block
    UNKNOWN_BLOCK = "unknown_block"
    UNKNOWN_PARENT = "unknown_parent"
    WRONG_NUMBER = "wrong_number"
    WRONG_TIMESTAMP = "wrong_timestamp"
    WRONG_GAS_LIMIT = "wrong_gas_limit"
    WRONG_GAS_USED = "wrong_gas_used"
    WRONG_BASE_FEE = "wrong_base_fee"
    WRONG_BLOB_GAS = "wrong_blob_gas"
    WRONG_DIFFICULTY = "wrong_difficulty"
    WRONG_COINBASE = "wrong_coinbase"
    WRONG_EXTRA_DATA = "wrong_extra_data"
    WRONG_SEAL = "wrong_seal"
    WRONG_OMMERS = "wrong_ommers"
    WRONG_HEADER_FIELDS = "wrong_header_fields"
    WRONG_STATE_ROOT = "wrong_state_root"
    WRONG_TRANSACTIONS_ROOT = "wrong_transactions_root"
    WRONG_RECEIPTS_ROOT = "wrong_receipts_root"
    WRONG_LOGS_BLOOM = "wrong_logs_bloom"
    WRONG_WITHDRAWALS = "wrong_withdrawals"
    WRONG_REQUESTS = "wrong_requests"
    BLOCK_TOO_LARGE = "block_too_large"
    SYSTEM_CALL_FAILED = "system_call_failed"
    # certificates and evidence
    BAD_CERTIFICATE = "bad_certificate"
    BAD_EVIDENCE = "bad_evidence"
    WRONG_RECORD = "wrong_consensus_record"
    # network
    BAD_MESSAGE = "bad_message"
    BAD_HANDSHAKE = "bad_handshake"
    WRONG_PROTOCOL_VERSION = "wrong_protocol_version"
    PEER_NOT_ALLOWED = "peer_not_allowed"
    TOO_MANY_PEERS = "too_many_peers"
    PEER_BANNED = "peer_banned"
    PEER_REMOVED = "peer_removed"
    WRONG_PEER = "wrong_peer"
    SELF_CONNECTION = "self_connection"
    DUPLICATE_LINK = "duplicate_link"
    BAD_PEER_ADDRESS = "bad_peer_address"
    NODE_STOPS = "node_stops"
    TOO_SLOW = "too_slow"
    SENDER_NOT_ALLOWED = "sender_not_allowed"
    # storage and settings
    WRONG_SCHEMA = "wrong_schema"
    WRONG_CHAIN = "wrong_chain"
    DATADIR_IN_USE = "datadir_in_use"
    STATE_NOT_RETAINED = "state_not_retained"
    UNPROVABLE = "unprovable"
    BAD_SETTING = "bad_setting"
    ADDRESS_IN_USE = "address_in_use"
    BAD_KEYSTORE = "bad_keystore"
    WRONG_PASSWORD = "wrong_password"


class Rejected(Exception):
    """Input that breaks a rule. `reason` is for programs, `detail` for people."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


class Fault(Exception):
    """Our own failure: a broken invariant, a corrupt file, a full disk. The process stops."""


class SourceFailed(Exception):
    """The ledger that this one was forked from did not say what was asked of it (decision 0010).

    Not a `Rejected`, for nobody may take it for an answer: it ends whatever needed one. What a
    block needed it for is named by the hash of the transaction that was running.
    """

    def __init__(self, source: str, detail: str) -> None:
        super().__init__(f"the fork's source {source} failed: {detail}")
        self.source = source
        self.detail = detail
        self.transaction: bytes | None = None
