"""What `chain-node dev` shows: the banner, and one line per transaction."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from chain.abi import decode_revert
from chain.execution import Executed
from chain.machine import Halt
from chain.types import Address
from node.consensus.committed import Committed
from node.devchain.aloud import Aloud
from node.devchain.artefacts import Artefacts
from node.devchain.autopsy import Findings
from node.proposer import Run
from node.rpc.formats import checksummed as checksummed  # noqa: PLC0414 - it is known here too

_COIN: Final = 10**18
# Codes that are another account's, whose address stands between: minimal proxies (EIP-1167), and
# delegated accounts (EIP-7702).
_STAND_INS: Final = (
    (bytes.fromhex("363d3d373d3d3d363d73"), bytes.fromhex("5af43d82803e903d91602b57fd5bf3")),
    (bytes.fromhex("ef0100"), b""),
)
_REASON_MAX: Final = 200  # characters of a revert reason that are printed


def coins(wei: int) -> str:
    """An amount in coins, exact, without trailing zeros."""
    whole, rest = divmod(wei, _COIN)
    return str(whole) if not rest else f"{whole}.{rest:018d}".rstrip("0")


def banner(
    *,
    version: str,
    accounts: Mapping[Address, bytes],
    balance: int,
    mnemonic: str,
    chain_id: int,
    address: str,
    folder: str,
    height: int,
    mode: str,
) -> str:
    """What is printed at the start. `balance` is in wei, `address` is host and port."""
    lines = [f"chain-node {version}", ""]
    if accounts:
        lines.append(f"Accounts ({coins(balance)} coins each; the keys are public: never use them")
        lines.append("for anything of value)")
        for index, (account, key) in enumerate(accounts.items()):
            lines.append(f"  ({index}) {checksummed(account)}  0x{key.hex()}")
        lines += [f"  Mnemonic:  {mnemonic}", "  Path:      m/44'/60'/0'/0/", ""]
    lines += [
        f"Chain id       {chain_id}",
        f"Data folder    {folder}",
        f"Height         {height}",
        f"Blocks         {mode}",
        f"JSON-RPC       http://{address}   ws://{address}",
        "",
        "Ready. Stop with Ctrl-C.",
    ]
    return "\n".join(lines)


CodeOf = Callable[[Address], bytes]


Explain = Callable[[int], Findings | None]


def block_lines(
    committed: Committed, artefacts: Artefacts, code_of: CodeOf, explain: Explain | None = None
) -> str:
    """The block's line, and for each transaction its own and those that its contracts printed.

    Contracts of the artefacts go by their names; `code_of` gives an account's code. `explain`
    tells where the transaction at an index failed, which stands below it.
    """
    lines = [_block_line(committed.executed)]
    for index, run in enumerate(committed.runs):
        found = None
        if run.result.halt is not None and explain is not None:
            found = explain(index)
        problem = "" if found is None else found.problem
        lines.append("  " + "  ".join(_run_parts(run, artefacts, code_of, problem)))
        lines += ("    | " + line for line in run.prints)
        if found is not None:
            lines += ("    " + _clean(line) for line in found.lines)
    return "\n".join(lines)


def call_lines(call: Aloud, artefacts: Artefacts, code_of: CodeOf) -> str:
    """A call with what it printed, and where it failed."""
    parts = [call.method]
    if call.to is None:
        contract = artefacts.created_by(call.data)
        name = None if contract is None else _clean(contract.name)
    else:
        parts.append(f"to 0x{call.to.hex()}")
        name = _called(call.to, call.data, artefacts, code_of) if len(artefacts) else None
    if name:
        parts.append(name)
    found = call.findings
    if call.halt is not None:
        problem = "" if found is None else found.problem
        parts.append(f"FAILED ({_why(call.halt, call.output, artefacts, problem)})")
    lines = ["  ".join(parts), *("    | " + line for line in call.lines)]
    if found is not None:
        lines += ("    " + _clean(line) for line in found.lines)
    return "\n".join(lines)


def _block_line(executed: Executed) -> str:
    header = executed.block.header
    return (
        f"block {header.number}  0x{executed.hash.hex()}  "
        f"{len(executed.block.transactions)} transactions  {header.gas_used} gas"
    )


def _run_parts(run: Run, artefacts: Artefacts, code_of: CodeOf, problem: str = "") -> Iterator[str]:
    transaction, result = run.checked.transaction, run.result
    yield f"0x{transaction.hash.hex()}"
    yield f"from 0x{run.checked.sender.hex()}"
    if transaction.to is not None:
        yield f"to 0x{transaction.to.hex()}"
        if len(artefacts):
            name = _called(transaction.to, transaction.data, artefacts, code_of)
            if name:
                yield name
    elif result.created is not None:
        yield f"creates 0x{result.created.hex()}"
        if contract := artefacts.created_by(transaction.data):
            yield _clean(contract.name)
    yield f"value {coins(transaction.value)}"
    yield f"gas {result.gas_used}"
    if result.halt is None:
        yield "ok"
    else:
        yield f"FAILED ({_why(result.halt, result.output, artefacts, problem)})"
    yield f"{run.microseconds} us"


def _called(to: Address, data: bytes, artefacts: Artefacts, code_of: CodeOf) -> str | None:
    """The contract and the function by their names, with its arguments."""
    code = code_of(to)
    for start, end in _STAND_INS:
        if code.startswith(start) and code.endswith(end) and len(code) == len(start + end) + 20:
            code = code_of(Address(code[len(start) : len(start) + 20]))
    contract = artefacts.with_code(code)
    if contract is None:
        return None
    function = artefacts.function(contract, data)
    return _clean(contract.name if function is None else f"{contract.name}.{function}")


def _why(halt: Halt, output: bytes, artefacts: Artefacts, problem: str) -> str:
    """Why it failed, with the contract's own words when it gave any, or else the compiler's."""
    if halt is not Halt.REVERT or not output:
        return f"{halt.value}: {_clean(problem)}" if problem else halt.value
    reason = decode_revert(output)
    if reason is None:
        reason = artefacts.error(output)
    if reason is None:
        return f"{halt.value}: 0x{output[: _REASON_MAX // 2].hex()}"
    return f"{halt.value}: {_clean(reason)}"


def _clean(text: str) -> str:
    """Text of a contract's making, as may be printed."""
    return "".join(char if char.isprintable() else "?" for char in text[:_REASON_MAX])
