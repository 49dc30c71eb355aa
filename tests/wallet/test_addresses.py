"""Addresses as people type them: the checksum catches what it can catch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.types import Address
from wallet.addresses import checksum_address, parse_address
from wallet.outcome import Exit, Failed

ADDRESSES = st.binary(min_size=20, max_size=20).map(Address)

# The examples of EIP-55.
EXAMPLES = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples_of_the_standard_have_their_checksum(text: str) -> None:
    assert checksum_address(parse_address(text)) == text


@given(ADDRESSES)
def test_an_address_survives_being_written_and_read_in_every_form(address: Address) -> None:
    text = checksum_address(address)
    forms = [text, text[2:], text.lower(), "0x" + text[2:].upper(), f" {text}\n"]
    assert [parse_address(form) for form in forms] == [address] * len(forms)


@pytest.mark.parametrize("text", EXAMPLES[2:])
def test_a_swapped_case_is_caught(text: str) -> None:
    place = next(place for place in range(2, 42) if text[place].isalpha())
    wrong = text[:place] + text[place].swapcase() + text[place + 1 :]
    with pytest.raises(Failed, match="checksum") as failure:
        parse_address(wrong)
    assert failure.value.exit_code is Exit.USAGE


@pytest.mark.parametrize(
    "text",
    ["", "0x", "0x12", EXAMPLES[0] + "0", EXAMPLES[0][:-1], EXAMPLES[0][:-1] + "g", "vitalik.eth"],
)
def test_what_is_not_an_address_is_a_usage_error(text: str) -> None:
    with pytest.raises(Failed, match="not an address") as failure:
        parse_address(text)
    assert failure.value.exit_code is Exit.USAGE
