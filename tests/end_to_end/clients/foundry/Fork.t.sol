// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Voucher} from "../src/Voucher.sol";

interface Vm {
    function envAddress(string calldata name) external returns (address);
    function prank(address sender) external;
}

/// Run by `forge test --fork-url`: a contract of the ledger goes on in forge's own machine.
contract ForkTest {
    Vm constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function test_a_token_of_the_ledger_goes_on_in_the_fork() external {
        Voucher token = Voucher(vm.envAddress("TOKEN"));
        address holder = vm.envAddress("HOLDER");
        uint256 before = token.balanceOf(holder);
        require(before > 0 && address(this).code.length > 0, "the fork has nothing");
        vm.prank(holder);
        token.transfer(address(this), before);
        require(token.balanceOf(address(this)) == before, "it does not go on");
    }
}
