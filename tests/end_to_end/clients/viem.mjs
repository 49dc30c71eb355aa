// Every capability through viem 2. Reports as tests/support/capabilities.py expects.
import { pathToFileURL } from "node:url";
import { order, perform, proved, require } from "./stage.mjs";

const load = (name) => import(pathToFileURL(require.resolve(name)));
const viem = await load("viem");
const { privateKeyToAccount } = await load("viem/accounts");
const { rpc, ws, key, friend, voucher, box, routine, multicall, deployer, name } = order;

const account = privateKeyToAccount(key);
const id = await viem.createPublicClient({ transport: viem.http(rpc) }).getChainId();
const chain = viem.defineChain({
  id,
  name: "ledger",
  nativeCurrency: { name: "Coin", symbol: "COIN", decimals: 18 },
  rpcUrls: { default: { http: [rpc], webSocket: [ws] } },
  contracts: { multicall3: { address: multicall } },
});
const settings = { chain, pollingInterval: 50, cacheTime: 0 };
const client = viem.createPublicClient({ ...settings, transport: viem.http(rpc) });
const wallet = viem.createWalletClient({ ...settings, account, transport: viem.http(rpc) });
const abi = voucher.abi;
let token;

const mined = async (sent) => client.waitForTransactionReceipt({ hash: await sent });
const write = (functionName, ...args) =>
  mined(wallet.writeContract({ address: token, abi, functionName, args }));
const read = (functionName, ...args) =>
  client.readContract({ address: token, abi, functionName, args });
const deployed = (made, ...args) =>
  mined(wallet.deployContract({ abi: made.abi, bytecode: made.bytecode, args }));
const gap = () => new Promise((resolve) => setTimeout(resolve, 20));

async function send(amounts) {
  for (const amount of amounts) await write("transfer", friend, amount);
}

/** The Transfers to the friend, from the moment on that the watcher is known to hear. */
async function watch(watcher, count, act) {
  let done;
  const all = new Promise((resolve) => (done = resolve));
  const heard = [];
  let warm = false;
  const stop = watcher.watchContractEvent({
    address: token,
    abi,
    eventName: "Transfer",
    onLogs: (logs) => {
      warm = true;
      for (const { args } of logs) if (args.to === friend) heard.push(args);
      if (heard.length >= count) done();
    },
  });
  while (!warm) {
    await write("transfer", deployer, 1n);
    await gap();
  }
  await act();
  await all;
  stop();
  return heard;
}

async function refused(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    return error;
  }
}

const within = (error, kind) => error?.walk?.((cause) => cause instanceof kind) ?? null;
const reverted = (error) => within(error, viem.ContractFunctionRevertedError);

await perform({
  async deploy() {
    const receipt = await deployed(voucher, viem.parseEther("1000"));
    token = receipt.contractAddress;
    return {
      status: receipt.status === "success" ? 1 : 0,
      address: token,
      code: await client.getCode({ address: token }),
      name: await read("name"),
      supply: await read("totalSupply"),
    };
  },

  async events_by_filter() {
    return { events: await watch(client, 2, () => send([11n, 12n])) };
  },

  async subscription() {
    const transport = viem.webSocket(ws);
    const socket = viem.createPublicClient({ ...settings, transport });
    const heads = [];
    const stop = socket.watchBlocks({ onBlock: (block) => heads.push(block.number) });
    const events = await watch(socket, 2, () => send([21n, 22n]));
    stop();
    return { events, heads };
  },

  async log_query() {
    const first = (await client.getBlockNumber()) + 1n;
    await send([31n, 32n]);
    const event = { address: token, abi, eventName: "Transfer", fromBlock: first };
    const found = await client.getContractEvents({ ...event, args: { to: friend } });
    const none = await client.getContractEvents({ ...event, args: { from: friend } });
    return { events: found.map(({ args }) => args), others: none.length };
  },

  async fees() {
    const suggested = await client.estimateFeesPerGas();
    const tip = viem.parseGwei("1");
    const most = viem.parseGwei("50");
    const receipt = await mined(
      wallet.sendTransaction({ to: friend, value: 1n, maxFeePerGas: most, maxPriorityFeePerGas: tip }),
    );
    const block = await client.getBlock({ blockNumber: receipt.blockNumber });
    const history = await client.getFeeHistory({
      blockCount: 1,
      blockNumber: receipt.blockNumber,
      rewardPercentiles: [50],
    });
    return {
      type: receipt.type,
      suggested: suggested.maxFeePerGas,
      base: block.baseFeePerGas,
      tip,
      most,
      price: receipt.effectiveGasPrice,
      paid: receipt.gasUsed * receipt.effectiveGasPrice,
      gas: receipt.gasUsed,
      history: history.baseFeePerGas[0],
      reward: history.reward[0][0],
    };
  },

  async permit() {
    const holder = privateKeyToAccount(viem.keccak256(viem.toHex(`${name} holder`)));
    const fields = ["owner:address", "spender:address", "value:uint256", "nonce:uint256", "deadline:uint256"];
    const message = {
      owner: holder.address,
      spender: account.address,
      value: 5n,
      nonce: 0n,
      deadline: 2n ** 40n,
    };
    const signature = await holder.signTypedData({
      domain: { name: "Voucher", version: "1", chainId: id, verifyingContract: token },
      types: { Permit: fields.map((field) => field.split(":")).map(([name, type]) => ({ name, type })) },
      primaryType: "Permit",
      message,
    });
    const { r, s, v } = viem.parseSignature(signature);
    const parts = [holder.address, account.address, 5n, message.deadline, Number(v), r, s];
    await write("permit", ...parts);
    const again = await refused(
      client.simulateContract({ address: token, abi, functionName: "permit", args: parts, account }),
    );
    return {
      allowance: await read("allowance", holder.address, account.address),
      nonce: await read("nonces", holder.address),
      again: reverted(again).data.errorName,
    };
  },

  async create2() {
    const code = viem.encodeDeployData({ abi: box.abi, bytecode: box.bytecode, args: [7n] });
    const salt = viem.keccak256(viem.toHex(name));
    const predicted = viem.getContractAddress({ opcode: "CREATE2", from: deployer, salt, bytecode: code });
    const before = (await client.getCode({ address: predicted })) ?? null;
    const receipt = await mined(wallet.sendTransaction({ to: deployer, data: viem.concat([salt, code]) }));
    return {
      status: receipt.status === "success" ? 1 : 0,
      before,
      value: await client.readContract({ address: predicted, abi: box.abi, functionName: "value" }),
    };
  },

  async multicall() {
    const call = (functionName, ...args) => ({ address: token, abi, functionName, args });
    const results = await client.multicall({
      contracts: [call("symbol"), call("refuse", 1n), call("refuse", 9n)],
    });
    return {
      succeeded: results.map((result) => result.status === "success"),
      symbol: results[0].result,
      refusal: reverted(results[1].error).data.errorName,
      number: results[2].result,
    };
  },

  async revert_reasons() {
    const errors = [];
    for (const kind of [0n, 1n, 2n, 3n]) errors.push(reverted(await refused(read("refuse", kind))));
    const receipt = await mined(
      wallet.writeContract({
        address: token,
        abi,
        functionName: "transfer",
        args: [friend, viem.parseEther("5000")],
        gas: 100_000n,
      }),
    );
    return {
      words: errors[0].reason,
      custom: [errors[1].data.errorName, ...errors[1].data.args],
      panic: errors[2].data.args[0],
      silent: errors[3].raw ?? "0x",
      mined: receipt.status === "reverted" ? 0 : 1,
    };
  },

  async nonces() {
    const count = (blockTag) => client.getTransactionCount({ address: account.address, blockTag });
    const nonce = await count("pending");
    const draft = (n, most) =>
      wallet.sendTransaction({
        to: friend,
        value: 1n,
        nonce: n,
        gas: 21_000n,
        maxFeePerGas: most,
        maxPriorityFeePerGas: most / 10n,
      });
    const high = viem.parseGwei("40");
    const early = await draft(nonce + 1, high);
    const pending = await count("pending");
    const cheap = await refused(draft(nonce + 1, high + 1n));
    const better = await draft(nonce + 1, high * 2n);
    const receipts = [await mined(draft(nonce, high)), await mined(better)];
    const late = await refused(draft(nonce, high));
    const gone = await refused(client.getTransactionReceipt({ hash: early }));
    return {
      waits: pending === nonce,
      replaced: within(gone, viem.TransactionReceiptNotFoundError) !== null,
      statuses: receipts.map((receipt) => (receipt.status === "success" ? 1 : 0)),
      cheap: /replacement transaction underpriced/.test(cheap?.details) ? "underpriced" : String(cheap),
      late: within(late, viem.NonceTooLowError) ? "too low" : String(late),
    };
  },

  async access_list() {
    const target = (await deployed(box, 1n)).contractAddress;
    const data = viem.encodeFunctionData({ abi: box.abi, functionName: "set", args: [5n] });
    const { accessList } = await client.createAccessList({ account, to: target, data });
    const receipts = [];
    for (const type of ["eip2930", "eip1559"]) {
      receipts.push(await mined(wallet.sendTransaction({ to: target, data, type, accessList })));
    }
    const stored = await client.getTransaction({ hash: receipts[0].transactionHash });
    return {
      listed: stored.accessList.map((entry) => [entry.address, entry.storageKeys]),
      target,
      types: receipts.map((receipt) => receipt.type),
      statuses: receipts.map((receipt) => (receipt.status === "success" ? 1 : 0)),
    };
  },

  async delegation() {
    const authority = privateKeyToAccount(viem.keccak256(viem.toHex(`${name} authority`)));
    const code = (await deployed(routine)).contractAddress;
    const delegate = async (address, data) => {
      const terms = { account: authority, contractAddress: address };
      const authorizationList = [await wallet.signAuthorization(terms)];
      return mined(
        wallet.sendTransaction({ to: authority.address, data, authorizationList, gas: 200_000n }),
      );
    };
    const call = viem.encodeFunctionData({ abi: routine.abi, functionName: "run", args: [9n] });
    const receipt = await delegate(code, call);
    const [ran] = viem.parseEventLogs({ abi: routine.abi, logs: receipt.logs });
    const during = await client.getCode({ address: authority.address });
    await delegate(viem.zeroAddress, "0x");
    return {
      type: receipt.type,
      authority: authority.address,
      ran: [ran.args.account, ran.args.number],
      during,
      expected: viem.concat(["0xef0100", code]).toLowerCase(),
      after: (await client.getCode({ address: authority.address })) ?? null,
    };
  },

  async proof() {
    const target = (await deployed(box, 77n)).contractAddress;
    const slots = [0, 1].map((slot) => viem.pad(viem.toHex(slot)));
    const { number: blockNumber, stateRoot } = await client.getBlock();
    const prove = (root, key, proof) => proved(root, key, proof, viem.keccak256, viem.fromRlp);
    const given = await client.getProof({ address: target, storageKeys: slots, blockNumber });
    const leaf = viem.fromRlp(prove(stateRoot, target, given.accountProof));
    const held = given.storageProof.map(({ proof }, place) => prove(leaf[2], slots[place], proof));
    const nobody = viem.slice(viem.keccak256(viem.toHex(`${name} nobody`)), 12);
    const absent = await client.getProof({ address: nobody, storageKeys: [], blockNumber });
    return {
      nonce: Number(leaf[0]),
      code: leaf[3] === viem.keccak256(await client.getCode({ address: target })),
      value: Number(viem.fromRlp(held[0])),
      empty: held[1],
      absent: prove(stateRoot, nobody, absent.accountProof),
    };
  },

  async fork() {
    const transport = viem.http(order.fork);
    const there = viem.createPublicClient({ ...settings, transport });
    const actor = viem.createWalletClient({ ...settings, account, transport });
    const same = { address: order.token, abi };
    const balance = { ...same, functionName: "balanceOf", args: [account.address] };
    const held = await there.readContract(balance);
    const event = { ...same, eventName: "Transfer", args: { from: viem.zeroAddress } };
    const mints = await there.getContractEvents({ ...event, fromBlock: 0n });
    const hash = await actor.writeContract({ ...same, functionName: "transfer", args: [friend, 5n] });
    const receipt = await there.waitForTransactionReceipt({ hash });
    return {
      held,
      mints: mints.length,
      status: receipt.status === "success" ? 1 : 0,
      left: await there.readContract(balance),
      untouched: await client.readContract(balance),
    };
  },

  async snapshots() {
    const test = viem.createTestClient({ ...settings, mode: "anvil", transport: viem.http(rpc) });
    const balance = () => client.getBalance({ address: friend });
    const height = await client.getBlockNumber();
    const before = await balance();
    const snapshot = await test.snapshot();
    await mined(wallet.sendTransaction({ to: friend, value: 5n }));
    const between = await balance();
    await test.revert({ id: snapshot });
    return {
      gained: between - before,
      undone: null,
      left: (await balance()) - before,
      climbed: (await client.getBlockNumber()) - height,
    };
  },
});
