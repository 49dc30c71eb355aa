// A Hardhat 3 project at a ledger, compiled by the solc of npm. LEDGER: the order, as JSON.
import { createRequire } from "node:module";
import ignition from "@nomicfoundation/hardhat-ignition-viem";
import helpers from "@nomicfoundation/hardhat-network-helpers";
import viem from "@nomicfoundation/hardhat-viem";

const { rpc, key, chainId } = JSON.parse(process.env.LEDGER);
const path = createRequire(import.meta.url).resolve("solc/soljson.js");
const { version } = createRequire(import.meta.url)("solc/package.json");

export default {
  plugins: [viem, ignition, helpers],
  solidity: { compilers: [{ version, path, settings: { optimizer: { enabled: true } } }] },
  networks: {
    ledger: { type: "http", url: rpc, accounts: [key], chainId },
    fork: { type: "edr-simulated", forking: { url: rpc }, chainId },
  },
};
