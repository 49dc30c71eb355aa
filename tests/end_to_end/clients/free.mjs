// A ledger without fees through ethers v6, with nothing said about prices: a transfer of nothing
// and a deployment by an account that has no coins. Prints what it saw as one JSON object.
// Usage: CLIENT_MODULES=<node_modules> node free.mjs < {rpc, key, bytecode}
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.CLIENT_MODULES}/`);
const { ethers } = require("ethers");

const { rpc, key, bytecode } = JSON.parse(readFileSync(0, "utf8"));
const http = new ethers.JsonRpcProvider(rpc, undefined, { pollingInterval: 50, cacheTimeout: -1 });
const wallet = new ethers.Wallet(key, http);

const fees = await http.getFeeData();
const sent = await wallet.sendTransaction({ to: "0x" + "22".repeat(20), value: 0 });
const receipt = await sent.wait();
const factory = new ethers.ContractFactory([], bytecode, wallet);
const contract = await factory.deploy();
const deployed = await contract.deploymentTransaction().wait();
const text = (value) => (value == null ? null : value.toString());
console.log(
  JSON.stringify({
    gasPrice: text(fees.gasPrice),
    maxFeePerGas: text(fees.maxFeePerGas),
    status: [receipt.status, deployed.status],
    paid: [text(receipt.fee), text(deployed.fee)],
    balance: text(await http.getBalance(wallet.address)),
  }),
);
process.exit(0);
