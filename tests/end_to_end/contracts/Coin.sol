// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

/// An OpenZeppelin token with one refusal of each kind: custom errors (the library's),
/// a reason in words, and a panic of the compiler's checks.
contract Coin is ERC20, Ownable {
    uint256 public constant CAP = 2_000_000 ether;

    constructor(uint256 supply) ERC20("Coin", "COIN") Ownable(msg.sender) {
        _mint(msg.sender, supply);
    }

    function mint(address to, uint256 amount) external onlyOwner {
        require(totalSupply() + amount <= CAP, "cap exceeded");
        _mint(to, amount);
    }

    function share(uint256 amount, uint256 parts) external pure returns (uint256) {
        return amount / parts;
    }
}
