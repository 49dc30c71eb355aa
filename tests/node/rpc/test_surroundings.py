"""Calls see the block that they run after, also when blocks come, go, and come again."""

from node.testing import Ledger

# Returns the number of the block, its parent's hash, its time and its base fee.
LOOK = "0x435f52" + "60014303406020524260405248606052" + "60805ff3"


def look(ledger: Ledger, block: str = "latest") -> tuple[int, str, int, int]:
    output = ledger.request("eth_call", {"data": LOOK}, block)[2:]
    words = [output[at : at + 64] for at in range(0, 256, 64)]
    return int(words[0], 16), "0x" + words[1], int(words[2], 16), int(words[3], 16)


def expected(ledger: Ledger, block: str = "latest") -> tuple[int, str, int, int]:
    header = ledger.request("eth_getBlockByNumber", block, False)
    # Who offers no fee sees none.
    return int(header["number"], 16), header["parentHash"], int(header["timestamp"], 16), 0


def test_a_call_sees_the_block_that_it_is_for() -> None:
    with Ledger() as ledger:
        ledger.mine(3)
        for block in ("latest", "0x1", "latest", "0x2", "0x2", "latest"):
            assert look(ledger, block) == expected(ledger, block)
        ledger.mine()
        assert look(ledger) == expected(ledger)
        assert look(ledger)[0] == 4


def test_a_call_sees_other_blocks_of_the_same_heights_after_a_return() -> None:
    with Ledger() as ledger:
        ledger.mine()
        moment = ledger.snapshot()
        ledger.mine(2)
        before = look(ledger)
        assert before == expected(ledger)
        ledger.revert(moment)
        ledger.request("evm_increaseTime", 1_000)
        ledger.mine(2)
        after = look(ledger)
        assert after == expected(ledger)
        assert (after[0], after[1] != before[1]) == (before[0], True)
