// The life of a token through ethers v6: deploy, transfer, events by HTTP filter and by
// WebSocket subscription, refusals decoded. Prints what it saw as one JSON object.
// Usage: CLIENT_MODULES=<node_modules> node token.mjs < {rpc, ws, key, abi, bytecode}
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.CLIENT_MODULES}/`);
const { ethers } = require("ethers");

const { rpc, ws, key, abi, bytecode } = JSON.parse(readFileSync(0, "utf8"));
const SUPPLY = ethers.parseEther("1000");
const FRIEND = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const OTHER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
const STRANGER = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";

// The cache would hide a block that is committed within a quarter of a second.
const http = new ethers.JsonRpcProvider(rpc, undefined, { pollingInterval: 50, cacheTimeout: -1 });
const socket = new ethers.WebSocketProvider(ws);
const wallet = new ethers.Wallet(key, http);
const seen = {};

/** Listens for `count` Transfers to FRIEND: `all` resolves to their arguments, in order.
 * `heard` tells whether any Transfer was heard yet: ethers starts listening in the background. */
async function collect(contract, count) {
  const events = [];
  const listener = { heard: false };
  let done;
  listener.all = new Promise((resolve) => (done = resolve));
  await contract.on("Transfer", (from, to, value, payload) => {
    listener.heard = true;
    if (to !== FRIEND) return;
    events.push({ from, to, value: value.toString(), transaction: payload.log.transactionHash });
    if (events.length === count) done(events);
  });
  return listener;
}

/** What ethers makes of a refused call. */
async function refusal(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    const { code, reason, revert, receipt, data } = error;
    return {
      code,
      data: data ?? null,
      reason: reason ?? null,
      name: revert?.name ?? null,
      args: revert ? Array.from(revert.args).map(String) : null,
      status: receipt?.status ?? null,
    };
  }
}

const network = await http.getNetwork();
seen.chainId = Number(network.chainId);
seen.accounts = (await http.listAccounts()).map((account) => account.address);

const factory = new ethers.ContractFactory(abi, bytecode, wallet);
const token = await (await factory.deploy(SUPPLY)).waitForDeployment();
seen.address = await token.getAddress();
seen.code = (await http.getCode(seen.address)).length > 2;
seen.name = await token.name();
seen.supply = (await token.totalSupply()).toString();

const heads = [];
let headSeen;
const head = new Promise((resolve) => (headSeen = resolve));
await socket.on("block", (number) => {
  heads.push(number);
  headSeen();
});
const byFilter = await collect(token, 2);
const bySubscription = await collect(token.connect(socket), 2);
// Coins to somebody else, until both listeners are known to listen.
while (!byFilter.heard || !bySubscription.heard) {
  await (await token.transfer(OTHER, 1n)).wait();
  await new Promise((resolve) => setTimeout(resolve, 50));
}

const transactions = [];
const receipts = [];
for (const value of ["1.5", "0.25"]) {
  const sent = await token.transfer(FRIEND, ethers.parseEther(value));
  transactions.push(sent.hash);
  receipts.push(await sent.wait());
}
seen.transactions = transactions;
seen.statuses = receipts.map((receipt) => receipt.status);
seen.types = receipts.map((receipt) => receipt.type);
seen.parsed = receipts.map((receipt) => token.interface.parseLog(receipt.logs[0]).name);
seen.filter = await byFilter.all;
seen.subscription = await bySubscription.all;
await head;
seen.heads = heads.length > 0;
const past = await token.queryFilter(token.filters.Transfer(null, FRIEND), 0, "latest");
seen.past = past.map((event) => event.args[2].toString());
seen.balance = (await token.balanceOf(FRIEND)).toString();

const poor = new ethers.VoidSigner(STRANGER, http);
seen.refusals = {
  call: await refusal(token.connect(poor).transfer.staticCall(FRIEND, 5n)),
  estimate: await refusal(token.connect(poor).transfer.estimateGas(FRIEND, 5n)),
  overWebSocket: await refusal(token.connect(socket).transfer.staticCall(FRIEND, 5n, { from: STRANGER })),
  panic: await refusal(token.share(1n, 0n)),
  mined: await refusal(
    token.transfer(FRIEND, SUPPLY, { gasLimit: 100_000n }).then((sent) => sent.wait()),
  ),
};
if (token.mint !== undefined) {
  const cap = await token.CAP();
  seen.refusals.words = await refusal(token.mint.staticCall(FRIEND, cap));
  seen.refusals.owner = await refusal(token.connect(poor).mint.staticCall(STRANGER, 1n));
}

await socket.destroy();
http.destroy();
console.log(JSON.stringify(seen));
process.exit(0);
