"""Every protocol number, fork by fork, as data.

A fork is a value: each one below is its predecessor with the fields that its
EIPs changed. Code asks for a field, never for a name. When a fork becomes active
is chain.genesis.ChainConfig's matter. Sources: the EIPs named in the comments.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from chain.types import Address


class StoragePricing(StrEnum):
    """How SSTORE is charged and refunded."""

    PLAIN = "plain"  # Yellow Paper: 20000 to set, 5000 to change, refund on clearing
    NET = "net"  # EIP-1283, only in Constantinople
    NET_WITH_STIPEND_GUARD = "net_with_stipend_guard"  # EIP-2200, on Berlin's prices from EIP-2929


class ModexpPricing(StrEnum):
    """How the modular exponentiation precompile is charged."""

    ORIGINAL = "original"  # EIP-198
    CHEAPER = "cheaper"  # EIP-2565
    RAISED = "raised"  # EIP-7883


class DifficultyRule(StrEnum):
    """How a proof-of-work block's difficulty follows from its parent's."""

    FRONTIER = "frontier"
    HOMESTEAD = "homestead"  # EIP-2
    BYZANTIUM = "byzantium"  # EIP-100, with the bomb pushed back by `bomb_delay`


class BlobSchedule(Struct, frozen=True):
    """Blobs per block and the speed of their fee (EIP-4844, EIP-7840)."""

    target: int
    max: int
    base_fee_update_fraction: int


def _precompiles(*numbers: int) -> frozenset[Address]:
    return frozenset(Address(number.to_bytes(20, "big")) for number in numbers)


class Fork(Struct, frozen=True, kw_only=True):
    """The numbers and rules in force. Gas in gas units, sizes in bytes, fees in wei."""

    name: str
    merged: bool = False  # proof of stake: no seal, no ommers, no difficulty, no reward

    # -- transactions --
    transaction_kinds: frozenset[int] = frozenset({0})
    contracts_may_send: bool = False  # developer's chains: impersonated ones, beyond EIP-3607
    low_s: bool = False  # EIP-2: s in the lower half of the curve order
    replay_protection: bool = False  # EIP-155 signatures accepted
    gas_transaction: int = 21_000
    gas_transaction_create: int = 0  # on top; 32000 from Homestead (EIP-2)
    gas_data_zero: int = 4
    gas_data_nonzero: int = 68
    gas_floor_per_token: int = 0  # EIP-7623; 0: no floor
    gas_access_list_address: int = 2_400
    gas_access_list_slot: int = 1_900
    gas_authorization: int = 25_000  # EIP-7702, charged per tuple up front
    gas_authorization_refund: int = 12_500  # given back when the authority exists
    transaction_gas_max: int | None = None  # EIP-7825
    transaction_blobs_max: int | None = None  # EIP-7594
    cell_proofs: bool = False  # EIP-7594: sidecars carry cell proofs
    refund_quotient: int = 2  # refunds are capped at gas used / this
    base_fee: bool = False  # EIP-1559
    free: bool = False  # genesis rule: base fee and blob base fee are 0 for ever
    keeps_base_fee: bool = False  # genesis rule: the coinbase earns the base fee too

    # -- VM: which opcodes exist --
    has_delegatecall: bool = False
    has_revert: bool = False
    has_return_data: bool = False
    has_staticcall: bool = False
    has_shifts: bool = False
    has_create2: bool = False
    has_code_hash: bool = False
    has_chain_id: bool = False
    has_self_balance: bool = False
    has_base_fee: bool = False
    has_push0: bool = False
    has_transient_storage: bool = False
    has_memory_copy: bool = False
    has_blob_hash: bool = False
    has_blob_base_fee: bool = False
    has_count_leading_zeros: bool = False

    # -- VM: what they cost --
    access_lists: bool = False  # EIP-2929: warm and cold prices
    warm_coinbase: bool = False  # EIP-3651
    gas_warm: int = 100
    gas_cold_account: int = 2_600
    gas_cold_slot: int = 2_100
    gas_sload: int = 50
    gas_balance: int = 20
    gas_external_code: int = 20  # EXTCODESIZE, EXTCODECOPY
    gas_code_hash: int = 400
    gas_call: int = 40
    gas_self_destruct: int = 0
    gas_self_destruct_new_account: int = 0
    gas_exp_byte: int = 10
    gas_initcode_word: int = 0  # EIP-3860
    storage_pricing: StoragePricing = StoragePricing.PLAIN
    gas_storage_set: int = 20_000
    gas_storage_reset: int = 5_000  # EIP-2929 subtracts gas_cold_slot from it
    refund_storage_clear: int = 15_000
    refund_self_destruct: int = 24_000
    keeps_one_64th: bool = False  # EIP-150: a call gets at most all but one 64th

    # -- VM: accounts and code --
    deletes_empty_accounts: bool = False  # EIP-161, with its new-account charges
    contract_start_nonce: int = 0
    code_deposit_must_pay: bool = False  # EIP-2: creation fails when the deposit can't be paid
    code_size_max: int | None = None  # EIP-170
    initcode_size_max: int | None = None  # EIP-3860
    rejects_code_starting_with_ef: bool = False  # EIP-3541
    self_destruct_only_new: bool = False  # EIP-6780
    delegations: bool = False  # EIP-7702

    # -- precompiles --
    precompiles: frozenset[Address] = _precompiles(1, 2, 3, 4)
    modexp_pricing: ModexpPricing = ModexpPricing.ORIGINAL
    modexp_size_max: int | None = None  # EIP-7823
    gas_bn254_add: int = 500
    gas_bn254_mul: int = 40_000
    gas_bn254_pairing: int = 100_000
    gas_bn254_pairing_pair: int = 80_000

    # -- blocks --
    block_reward: int = 5 * 10**18
    difficulty_rule: DifficultyRule = DifficultyRule.FRONTIER
    bomb_delay: int = 0  # blocks
    receipt_status: bool = False  # EIP-658: status instead of the state root
    withdrawals: bool = False  # EIP-4895
    beacon_root: bool = False  # EIP-4788
    block_hash_history: bool = False  # EIP-2935
    requests: bool = False  # EIP-7685 with 6110, 7002, 7251
    blobs: BlobSchedule | None = None  # EIP-4844
    blob_fee_reserve: bool = False  # EIP-7918
    block_size_max: int | None = None  # EIP-7934


FRONTIER: Final = Fork(name="frontier")
HOMESTEAD: Final = replace(
    FRONTIER,
    name="homestead",
    low_s=True,
    gas_transaction_create=32_000,
    code_deposit_must_pay=True,
    has_delegatecall=True,  # EIP-7
    difficulty_rule=DifficultyRule.HOMESTEAD,
)
TANGERINE_WHISTLE: Final = replace(
    HOMESTEAD,
    name="tangerine_whistle",
    gas_sload=200,
    gas_balance=400,
    gas_external_code=700,
    gas_call=700,
    gas_self_destruct=5_000,
    gas_self_destruct_new_account=25_000,
    keeps_one_64th=True,
)
SPURIOUS_DRAGON: Final = replace(
    TANGERINE_WHISTLE,
    name="spurious_dragon",
    replay_protection=True,
    gas_exp_byte=50,  # EIP-160
    deletes_empty_accounts=True,
    contract_start_nonce=1,
    code_size_max=24_576,
)
BYZANTIUM: Final = replace(
    SPURIOUS_DRAGON,
    name="byzantium",
    has_revert=True,  # EIP-140
    has_return_data=True,  # EIP-211
    has_staticcall=True,  # EIP-214
    precompiles=_precompiles(*range(1, 9)),
    block_reward=3 * 10**18,  # EIP-649
    difficulty_rule=DifficultyRule.BYZANTIUM,
    bomb_delay=3_000_000,
    receipt_status=True,
)
CONSTANTINOPLE: Final = replace(
    BYZANTIUM,
    name="constantinople",
    has_shifts=True,  # EIP-145
    has_create2=True,  # EIP-1014
    has_code_hash=True,  # EIP-1052
    storage_pricing=StoragePricing.NET,
    block_reward=2 * 10**18,  # EIP-1234
    bomb_delay=5_000_000,
)
PETERSBURG: Final = replace(
    CONSTANTINOPLE, name="petersburg", storage_pricing=StoragePricing.PLAIN
)  # EIP-1716
ISTANBUL: Final = replace(
    PETERSBURG,
    name="istanbul",
    has_chain_id=True,  # EIP-1344
    has_self_balance=True,  # EIP-1884
    gas_sload=800,
    gas_balance=700,
    gas_code_hash=700,
    gas_data_nonzero=16,  # EIP-2028
    storage_pricing=StoragePricing.NET_WITH_STIPEND_GUARD,  # EIP-2200
    precompiles=_precompiles(*range(1, 10)),  # EIP-152
    gas_bn254_add=150,  # EIP-1108
    gas_bn254_mul=6_000,
    gas_bn254_pairing=45_000,
    gas_bn254_pairing_pair=34_000,
)
MUIR_GLACIER: Final = replace(ISTANBUL, name="muir_glacier", bomb_delay=9_000_000)  # EIP-2384
BERLIN: Final = replace(
    MUIR_GLACIER,
    name="berlin",
    transaction_kinds=frozenset({0, 1}),  # EIP-2718, EIP-2930
    access_lists=True,  # EIP-2929
    modexp_pricing=ModexpPricing.CHEAPER,
)
LONDON: Final = replace(
    BERLIN,
    name="london",
    transaction_kinds=frozenset({0, 1, 2}),
    base_fee=True,  # EIP-1559
    has_base_fee=True,  # EIP-3198
    refund_quotient=5,  # EIP-3529
    refund_storage_clear=4_800,
    refund_self_destruct=0,
    rejects_code_starting_with_ef=True,
    bomb_delay=9_700_000,  # EIP-3554
)
ARROW_GLACIER: Final = replace(LONDON, name="arrow_glacier", bomb_delay=10_700_000)  # EIP-4345
GRAY_GLACIER: Final = replace(ARROW_GLACIER, name="gray_glacier", bomb_delay=11_400_000)  # EIP-5133
PARIS: Final = replace(GRAY_GLACIER, name="paris", merged=True, block_reward=0)  # EIP-3675, 4399
SHANGHAI: Final = replace(
    PARIS,
    name="shanghai",
    has_push0=True,  # EIP-3855
    warm_coinbase=True,
    gas_initcode_word=2,
    initcode_size_max=49_152,
    withdrawals=True,
)
CANCUN: Final = replace(
    SHANGHAI,
    name="cancun",
    transaction_kinds=frozenset({0, 1, 2, 3}),
    has_transient_storage=True,  # EIP-1153
    has_memory_copy=True,  # EIP-5656
    has_blob_hash=True,
    has_blob_base_fee=True,  # EIP-7516
    self_destruct_only_new=True,
    precompiles=_precompiles(*range(1, 11)),
    beacon_root=True,
    blobs=BlobSchedule(target=3, max=6, base_fee_update_fraction=3_338_477),
)
PRAGUE: Final = replace(
    CANCUN,
    name="prague",
    transaction_kinds=frozenset({0, 1, 2, 3, 4}),
    gas_floor_per_token=10,
    delegations=True,
    precompiles=_precompiles(*range(1, 18)),  # EIP-2537
    block_hash_history=True,
    requests=True,
    blobs=BlobSchedule(target=6, max=9, base_fee_update_fraction=5_007_716),  # EIP-7691
)
OSAKA: Final = replace(
    PRAGUE,
    name="osaka",
    transaction_gas_max=2**24,
    transaction_blobs_max=6,
    cell_proofs=True,
    modexp_pricing=ModexpPricing.RAISED,
    modexp_size_max=1024,
    has_count_leading_zeros=True,  # EIP-7939
    precompiles=_precompiles(*range(1, 18), 0x100),  # EIP-7951
    blob_fee_reserve=True,
    block_size_max=10 * 2**20 - 2 * 2**20,
)

# In the order of activation. BPO forks are OSAKA with another blob schedule.
FORKS: Final[tuple[Fork, ...]] = (
    FRONTIER,
    HOMESTEAD,
    TANGERINE_WHISTLE,
    SPURIOUS_DRAGON,
    BYZANTIUM,
    CONSTANTINOPLE,
    PETERSBURG,
    ISTANBUL,
    MUIR_GLACIER,
    BERLIN,
    LONDON,
    ARROW_GLACIER,
    GRAY_GLACIER,
    PARIS,
    SHANGHAI,
    CANCUN,
    PRAGUE,
    OSAKA,
)

# Numbers that no fork has changed.
GAS_PER_BLOB: Final = 2**17
BLOB_BASE_FEE_MIN: Final = 1
BLOB_RESERVE_EXECUTION_COST: Final = 2**13  # EIP-7918
BASE_FEE_INITIAL: Final = 10**9
BASE_FEE_CHANGE_DENOMINATOR: Final = 8
GAS_LIMIT_ELASTICITY: Final = 2
GAS_LIMIT_BOUND_DIVISOR: Final = 1024
GAS_LIMIT_MIN: Final = 5_000
EXTRA_DATA_MAX: Final = 32  # bytes
CALL_DEPTH_MAX: Final = 1024
STACK_MAX: Final = 1024
CALL_STIPEND: Final = 2_300
NONCE_MAX: Final = 2**64 - 1

SYSTEM_ADDRESS: Final = Address(bytes.fromhex("fffffffffffffffffffffffffffffffffffffffe"))
BEACON_ROOTS_ADDRESS: Final = Address(bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02"))
HISTORY_STORAGE_ADDRESS: Final = Address(bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935"))
WITHDRAWAL_REQUESTS_ADDRESS: Final = Address(
    bytes.fromhex("00000961ef480eb55e80d19ad83579a64c007002")
)
CONSOLIDATION_REQUESTS_ADDRESS: Final = Address(
    bytes.fromhex("0000bbddc7ce488642fb579f8b00f3a590007251")
)
DEPOSIT_CONTRACT_ADDRESS: Final = Address(bytes.fromhex("00000000219ab540356cbb839cbe05303d7705fa"))
SYSTEM_CALL_GAS: Final = 30_000_000
