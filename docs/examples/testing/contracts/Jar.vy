# pragma version ~=0.4.0
"""
@title A jar that anybody fills, and that its owner empties after a day
"""

event Filled:
    giver: indexed(address)
    amount: uint256

owner: public(address)
opens: public(uint256)  # seconds since 1970
given: public(HashMap[address, uint256])


@deploy
def __init__():
    self.owner = msg.sender
    self.opens = block.timestamp + 86400


@external
@payable
def fill():
    assert msg.value > 0, "nothing given"
    self.given[msg.sender] += msg.value
    log Filled(giver=msg.sender, amount=msg.value)


@external
def empty_out():
    assert msg.sender == self.owner, "not the owner"
    assert block.timestamp >= self.opens, "too early"
    send(msg.sender, self.balance)
