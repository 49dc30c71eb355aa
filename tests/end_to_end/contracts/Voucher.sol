// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// An OpenZeppelin token whose holders permit by signature, and that refuses in every way there is.
contract Voucher is ERC20Permit {
    error TooMany(uint256 asked, uint256 most);

    constructor(uint256 supply) ERC20("Voucher", "VOU") ERC20Permit("Voucher") {
        _mint(msg.sender, supply);
    }

    /// 0: in words, 1: a custom error, 2: a panic, 3: without a word; else an answer.
    function refuse(uint256 kind) external pure returns (uint256) {
        require(kind != 0, "not today");
        if (kind == 1) revert TooMany(7, 5);
        if (kind == 2) return 1 / (kind - 2);
        if (kind == 3) revert();
        return kind;
    }
}

/// Keeps a number: small enough to be made anywhere.
contract Box {
    uint256 public value;

    event Changed(address indexed by, uint256 value);

    constructor(uint256 first) {
        value = first;
    }

    function set(uint256 next) external {
        value = next;
        emit Changed(msg.sender, next);
    }
}

/// What an account runs that has delegated itself to it.
contract Routine {
    event Ran(address indexed account, uint256 number);

    function run(uint256 number) external {
        emit Ran(address(this), number);
    }
}
