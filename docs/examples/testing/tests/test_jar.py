"""The jar, from an empty one to one that is emptied."""

import asyncio

import pytest
from web3.exceptions import ContractLogicError

COIN = 10**18
DAY = 86_400


def test_whoever_fills_it_is_remembered(jar, w3, accounts):
    sent = jar.functions.fill().transact({"from": accounts[1], "value": 2 * COIN})
    (event,) = jar.events.Filled().process_receipt(w3.eth.get_transaction_receipt(sent))
    assert event["args"] == {"giver": accounts[1], "amount": 2 * COIN}
    assert jar.functions.given(accounts[1]).call() == 2 * COIN
    assert w3.eth.get_balance(jar.address) == 2 * COIN


def test_each_test_begins_with_an_empty_jar(jar, w3):
    assert w3.eth.get_balance(jar.address) == 0


def test_refusals_come_with_their_words(jar, accounts):
    with pytest.raises(ContractLogicError, match="nothing given"):
        jar.functions.fill().transact({"from": accounts[1]})
    with pytest.raises(ContractLogicError, match="not the owner"):
        jar.functions.empty_out().transact({"from": accounts[1]})


def test_it_opens_after_a_day(jar, ledger, w3, accounts):
    jar.functions.fill().transact({"from": accounts[1], "value": COIN})
    with pytest.raises(ContractLogicError, match="too early"):
        jar.functions.empty_out().transact()
    ledger.request("evm_increaseTime", DAY)
    ledger.mine()
    before = w3.eth.get_balance(accounts[0])
    jar.functions.empty_out().transact()
    assert w3.eth.get_balance(accounts[0]) > before + COIN * 9 // 10
    assert w3.eth.get_balance(jar.address) == 0


def test_somebody_else_without_a_key_fills_it(jar, ledger):
    whale = "0x" + "42" * 20
    ledger.request("anvil_setBalance", whale, hex(1000 * COIN))
    ledger.request("anvil_impersonateAccount", whale)
    jar.functions.fill().transact({"from": whale, "value": 999 * COIN})
    assert jar.functions.given(whale).call() == 999 * COIN


def test_a_way_that_is_tried_and_taken_back(jar, ledger, accounts):
    with ledger.moment():
        jar.functions.fill().transact({"from": accounts[2], "value": COIN})
        assert jar.functions.given(accounts[2]).call() == COIN
    assert jar.functions.given(accounts[2]).call() == 0


def test_many_fill_it_at_once(jar, ledger, accounts):
    async def all_of_them():
        w3 = ledger.async_web3
        there = w3.eth.contract(address=jar.address, abi=jar.abi)
        await asyncio.gather(
            *(there.functions.fill().transact({"from": name, "value": COIN}) for name in accounts)
        )
        return await w3.eth.get_balance(jar.address)

    assert asyncio.run(all_of_them()) == len(accounts) * COIN
