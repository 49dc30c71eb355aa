"""Refusals in geth's words."""

import pytest

from chain.errors import Reason, Rejected
from node.rpc.errors import message_of


@pytest.mark.parametrize(
    ("reason", "detail", "message"),
    [
        (Reason.ALREADY_KNOWN, "0x12", "already known"),
        (
            Reason.REPLACEMENT_UNDERPRICED,
            "nonce 1: 2 offered, 3 needed",
            "replacement transaction underpriced",
        ),
        (Reason.TYPE_NOT_SUPPORTED, "type 0x09", "transaction type not supported"),
        (Reason.BAD_SIGNATURE, "v = 5", "invalid sender: invalid transaction v, r, s values"),
        (Reason.NONCE_OVERFLOW, "nonce 5", "nonce has max value"),
        (Reason.NONCE_OVERFLOW, "address x, nonce: 5", "nonce has max value: address x, nonce: 5"),
        (
            Reason.TIP_ABOVE_FEE_CAP,
            "tip 2, fee cap 1",
            "max priority fee per gas higher than max fee per gas",
        ),
        (
            Reason.INITCODE_TOO_LARGE,
            "code size 3, limit 2",
            "max initcode size exceeded: code size 3, limit 2",
        ),
        (
            Reason.NO_AUTHORIZATIONS,
            f"(sender 0x{'ab' * 20})",
            (
                "EIP-7702 transaction with empty auth list "
                "(sender 0xABaBaBaBABabABabAbAbABAbABabababaBaBABaB)"
            ),
        ),
        (
            Reason.BAD_BLOB_HASH,
            "blob 3 has invalid hash version",
            "blob 3 has invalid hash version",
        ),
        (Reason.NOT_REPLAY_PROTECTED, "", "only replay-protected (EIP-155) transactions allowed"),
    ],
)
def test_a_refusal_has_its_detail_where_geth_has_it(
    reason: Reason, detail: str, message: str
) -> None:
    told = message_of(Rejected(reason, detail))
    assert told == message or (not detail and told.startswith(message))
