"""RLP against public vectors, good and bad."""

import json
from typing import Any

import pytest

from chain import codec
from chain.errors import Reason, Rejected
from tests.support.conformance import samples


def _item(value: Any) -> codec.Encodable:
    """An item as the vectors write it: text, number, "#" with a large number, or a list."""
    if isinstance(value, list):
        return [_item(each) for each in value]
    if isinstance(value, int):
        return codec.int_bytes(value)
    assert isinstance(value, str)
    return codec.int_bytes(int(value[1:])) if value.startswith("#") else value.encode()


def test_every_official_sample_is_decoded_or_refused() -> None:
    count = 0
    for path in sorted((samples("basic-tests") / "RLPTests").rglob("*.json")):
        for name, case in json.loads(path.read_text()).items():
            data = bytes.fromhex(case["out"].removeprefix("0x"))
            if case["in"] == "INVALID":
                with pytest.raises(Rejected) as caught:
                    codec.decode(data)
                assert caught.value.reason is Reason.BAD_RLP, name
            elif case["in"] == "VALID":
                assert codec.encode(codec.decode(data)) == data, name
            else:
                assert codec.encode(_item(case["in"])) == data, name
                assert codec.encode(codec.decode(data)) == data, name
            count += 1
    assert count


def test_every_sample_of_ethers_is_encoded_and_decoded() -> None:
    def item(value: Any) -> codec.Item:
        if isinstance(value, list):
            return [item(each) for each in value]
        return bytes.fromhex(value[2:])

    cases = json.loads((samples("crypto-vectors") / "ethers/rlp.json").read_text())
    assert cases
    for case in cases:
        data = bytes.fromhex(case["encoded"][2:])
        assert codec.encode(item(case["decoded"])) == data, case["name"]
        assert codec.decode(data) == item(case["decoded"]), case["name"]
