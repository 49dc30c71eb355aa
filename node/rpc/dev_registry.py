"""Developers' methods: one function under the names of anvil, Hardhat and ganache.

    @control({"anvil_setBalance": None, "hardhat_setBalance": True, "tenderly_setBalance": None})
    async def set_balance(ctx: Context, address: Address, balance: Amount) -> None:

Each name comes with what its callers are used to get; `OWN` is the function's own result. A
name of anvil's stands for the same under `hardhat_` and `evm_` where nothing else is said.
There are such methods on developers' chains only.
"""

import functools
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, NewType

from msgspec import Raw

from chain.errors import Rejected
from node.rpc.context import Context
from node.rpc.errors import invalid_params
from node.rpc.parameters import UINT256_MAX
from node.rpc.registry import PARSERS, method

OWN: Final = object()
_PREFIXES: Final = ("hardhat", "evm")

# Below 2**256, in any usual form: hex with or without leading zeros, "0x" for 0, decimal text,
# JSON number.
Amount = NewType("Amount", int)

_Control = Callable[..., Coroutine[Any, Any, Any]]


def parse_amount(value: Any) -> int:
    """An `Amount`; numbers of JSON beyond 2**53 are taken, as wallets' libraries write them."""
    if type(value) is int:
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    elif value in ("0x", "0X"):
        number = 0
    elif isinstance(value, str) and len(value) <= 80:
        try:
            number = int(value, 16) if value[:2] in ("0x", "0X") else int(value)
        except ValueError:
            raise ValueError(f'invalid number "{value}"') from None
    else:
        raise ValueError("invalid number")
    if not 0 <= number <= UINT256_MAX:
        raise ValueError("number is not between 0 and 2**256 - 1")
    return number


PARSERS[Amount] = parse_amount


def number(value: int) -> Raw:
    """An integer as a JSON number, which plain results never are."""
    return Raw(str(value).encode())


def control(
    names: Mapping[str, object], *, everywhere: bool = True
) -> Callable[[_Control], _Control]:
    """Register the function below under these names, with these results.

    Not `everywhere`: the names mean something else under the other prefixes.
    """
    given = dict(names)
    for name, gives in names.items() if everywhere else ():
        prefix, _, own = name.partition("_")
        if prefix == "anvil":
            for other in _PREFIXES:
                given.setdefault(f"{other}_{own}", True if gives is None else gives)

    def register(function: _Control) -> _Control:
        for name, gives in given.items():
            method(name, developer_only=True)(_giving(function, gives))
        return function

    return register


def _giving(function: _Control, gives: object) -> _Control:
    @functools.wraps(function)
    async def call(ctx: Context, *arguments: Any) -> Any:
        try:
            result = await function(ctx, *arguments)
        except Rejected as rejected:
            raise invalid_params(rejected.detail or str(rejected)) from None
        return result if gives is OWN else gives

    return call
