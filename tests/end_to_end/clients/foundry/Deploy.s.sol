// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Voucher, Box} from "../src/Voucher.sol";

interface Vm {
    function startBroadcast() external;
    function stopBroadcast() external;
    function envAddress(string calldata name) external returns (address);
}

/// Broadcast by `forge script`: a deployment, another through the deterministic deployer, and
/// three transactions that stand on them.
contract Deploy {
    Vm constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    bool public constant IS_SCRIPT = true;

    function run(uint256 salt) external returns (Voucher token, Box box) {
        address friend = vm.envAddress("FRIEND");
        vm.startBroadcast();
        token = new Voucher(1000 ether);
        box = new Box{salt: bytes32(salt)}(7);
        token.transfer(friend, 31);
        token.transfer(friend, 32);
        box.set(9);
        vm.stopBroadcast();
    }
}
