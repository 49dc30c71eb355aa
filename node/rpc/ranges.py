"""What is said to who asks for more blocks than one request may be about."""

from node.rpc.errors import LIMIT_EXCEEDED, RpcError


def too_wide(problem: str, first: int, last: int) -> RpcError:
    """The refusal of a range of blocks that names a part of it that works.

    In Infura's words and data, from which indexers take the range that they ask for next.
    """
    return RpcError(
        LIMIT_EXCEEDED,
        f"{problem}. Try with this block range [{first:#x}, {last:#x}].",
        {"from": hex(first), "to": hex(last)},
    )
