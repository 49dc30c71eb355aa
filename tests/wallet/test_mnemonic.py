"""Recovery phrases: every typing mistake that the checksum can show is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.errors import Reason, Rejected
from wallet.mnemonic import (
    WORD_COUNTS,
    decode_mnemonic,
    encode_mnemonic,
    english_words,
    new_mnemonic,
    normal_form,
)

TEST_PHRASE = "test test test test test test test test test test test junk"

ENTROPY = st.sampled_from((16, 20, 24, 28, 32)).flatmap(
    lambda size: st.binary(min_size=size, max_size=size)
)


@given(ENTROPY)
def test_decoding_inverts_encoding(entropy: bytes) -> None:
    phrase = encode_mnemonic(entropy)
    assert decode_mnemonic(phrase) == entropy
    assert decode_mnemonic(f"  {phrase.upper()}\n") == entropy


@pytest.mark.parametrize("count", WORD_COUNTS)
def test_a_new_phrase_has_its_words_and_holds_its_checksum(count: int) -> None:
    phrase = new_mnemonic(count)
    assert len(phrase.split()) == count
    assert len(decode_mnemonic(phrase)) == count * 4 // 3
    assert new_mnemonic(count) != phrase


def test_an_unknown_word_is_named_by_its_place_and_not_repeated() -> None:
    with pytest.raises(Rejected, match="word 3 of the phrase") as rejection:
        decode_mnemonic(TEST_PHRASE.replace("test test test", "test test tset", 1))
    assert rejection.value.reason is Reason.BAD_KEYSTORE
    assert "tset" not in str(rejection.value)


@pytest.mark.parametrize(
    "phrase", ["", "test", TEST_PHRASE + " test", TEST_PHRASE.removesuffix(" junk")]
)
def test_a_wrong_number_of_words_is_refused(phrase: str) -> None:
    with pytest.raises(Rejected, match="words, not") as rejection:
        decode_mnemonic(phrase)
    assert rejection.value.reason is Reason.BAD_KEYSTORE


def test_a_wrong_checksum_is_refused() -> None:
    with pytest.raises(Rejected, match="checksum") as rejection:
        decode_mnemonic(TEST_PHRASE.replace("junk", "test"))
    assert rejection.value.reason is Reason.BAD_KEYSTORE


def test_a_phrase_of_an_unknown_length_is_not_made() -> None:
    with pytest.raises(Rejected) as rejection:
        new_mnemonic(13)
    assert rejection.value.reason is Reason.BAD_KEYSTORE
    with pytest.raises(Rejected) as rejection:
        encode_mnemonic(bytes(17))
    assert rejection.value.reason is Reason.BAD_KEYSTORE


def test_the_word_list_is_sorted_and_told_apart_by_four_letters() -> None:
    words = english_words()
    assert len(words) == 2048
    assert sorted(words) == list(words)
    assert len({word[:4] for word in words}) == 2048


def test_spacing_and_case_do_not_change_a_phrase() -> None:
    assert normal_form(" Test\ttest \n JUNK ") == "test test junk"
