"""Replays a case: `python -m tests.differential [FILE]`, JSON on standard input otherwise."""

import sys
from pathlib import Path

from tests.differential import ours, specification
from tests.differential.cases import case_from_json


def main() -> int:
    text = Path(sys.argv[1]).read_text() if len(sys.argv) > 1 else sys.stdin.read()
    case = case_from_json(text)
    print(f"fork {case.fork}")
    for address, account in case.accounts.items():
        print(f"account {address.hex()} nonce {account.nonce} balance {account.balance}")
        print(f"  code {account.code.hex()} storage {account.storage}")
    for raw in case.transactions:
        print(f"transaction {raw.hex()}")
    actual, expected = ours.run(case), specification.run(case)
    for name, result in (("ours", actual), ("specification", expected)):
        print(f"\n{name}: root {result.state_root.hex()}")
        for receipt in result.transactions:
            print(f"  {receipt}")
        for address, after in sorted(result.accounts.items()):
            print(f"  {address.hex()} {after}")
    print("\nagreement" if actual == expected else "\nDIFFERENCE")
    return 0 if actual == expected else 1


if __name__ == "__main__":
    sys.exit(main())
