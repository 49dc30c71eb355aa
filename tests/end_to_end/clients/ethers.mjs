// Every capability through ethers v6. Reports as tests/support/capabilities.py expects.
import { order, perform, proved, require } from "./stage.mjs";

const { ethers } = require("ethers");
const { rpc, ws, key, friend, voucher, box, routine, multicall, deployer, name } = order;

// The cache would hide a block that is committed within a quarter of a second.
const http = new ethers.JsonRpcProvider(rpc, undefined, { pollingInterval: 50, cacheTimeout: -1 });
const wallet = new ethers.Wallet(key, http);
const me = wallet.address;
let token;

const contractOf = async (made, ...args) =>
  (await new ethers.ContractFactory(made.abi, made.bytecode, wallet).deploy(...args)).waitForDeployment();
const seenEvent = (event) => ({ from: event.args[0], to: event.args[1], value: event.args[2] });
const gap = () => new Promise((resolve) => setTimeout(resolve, 20));

/** The arguments of `count` Transfers to the friend, as a contract's listener hears them. */
async function listen(contract, count, act) {
  let done;
  const all = new Promise((resolve) => (done = resolve));
  const heard = [];
  let warm = false;
  await contract.on("Transfer", (from, to, value) => {
    warm = true;
    if (to !== friend) return;
    heard.push({ from, to, value });
    if (heard.length === count) done();
  });
  while (!warm) {
    await (await token.transfer(deployer, 1n)).wait();
    await gap();
  }
  await act();
  await all;
  await contract.removeAllListeners();
  return heard;
}

async function send(amounts) {
  for (const amount of amounts) await (await token.transfer(friend, amount)).wait();
}

async function refused(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    return error;
  }
}

await perform({
  async deploy() {
    token = await contractOf(voucher, ethers.parseEther("1000"));
    const receipt = await token.deploymentTransaction().wait();
    return {
      status: receipt.status,
      address: receipt.contractAddress,
      code: await http.getCode(receipt.contractAddress),
      name: await token.name(),
      supply: await token.totalSupply(),
    };
  },

  async events_by_filter() {
    return { events: await listen(token, 2, () => send([11n, 12n])) };
  },

  async subscription() {
    const socket = new ethers.WebSocketProvider(ws);
    const heads = [];
    await socket.on("block", (number) => heads.push(number));
    const events = await listen(token.connect(socket), 2, () => send([21n, 22n]));
    await socket.destroy();
    return { events, heads };
  },

  async log_query() {
    const first = (await http.getBlockNumber()) + 1;
    await send([31n, 32n]);
    const found = await token.queryFilter(token.filters.Transfer(null, friend), first, "latest");
    const none = await token.queryFilter(token.filters.Transfer(friend), first, "latest");
    return { events: found.map(seenEvent), others: none.length };
  },

  async fees() {
    const suggested = await http.getFeeData();
    const tip = ethers.parseUnits("1", "gwei");
    const most = ethers.parseUnits("50", "gwei");
    const sent = await wallet.sendTransaction({
      to: friend,
      value: 1n,
      maxFeePerGas: most,
      maxPriorityFeePerGas: tip,
    });
    const receipt = await sent.wait();
    const block = await receipt.getBlock();
    const history = await http.send("eth_feeHistory", ["0x1", ethers.toQuantity(block.number), [50]]);
    return {
      type: receipt.type,
      suggested: suggested.maxFeePerGas,
      base: block.baseFeePerGas,
      tip,
      most,
      price: receipt.gasPrice,
      paid: receipt.fee,
      gas: receipt.gasUsed,
      history: BigInt(history.baseFeePerGas[0]),
      reward: BigInt(history.reward[0][0]),
    };
  },

  async permit() {
    const holder = new ethers.Wallet(ethers.id(`${name} holder`), http);
    const domain = {
      name: "Voucher",
      version: "1",
      chainId: (await http.getNetwork()).chainId,
      verifyingContract: await token.getAddress(),
    };
    const fields = ["owner:address", "spender:address", "value:uint256", "nonce:uint256", "deadline:uint256"];
    const types = {
      Permit: fields.map((field) => field.split(":")).map(([name, type]) => ({ name, type })),
    };
    const terms = { owner: holder.address, spender: me, value: 5n, nonce: 0n, deadline: 2n ** 40n };
    const signature = ethers.Signature.from(await holder.signTypedData(domain, types, terms));
    const parts = [terms.owner, me, 5n, terms.deadline, signature.v, signature.r, signature.s];
    await (await token.permit(...parts)).wait();
    const again = await refused(token.permit.staticCall(...parts));
    return {
      allowance: await token.allowance(terms.owner, me),
      nonce: await token.nonces(terms.owner),
      again: again.revert.name,
    };
  },

  async create2() {
    const factory = new ethers.ContractFactory(box.abi, box.bytecode, wallet);
    const { data: code } = await factory.getDeployTransaction(7n);
    const salt = ethers.id(name);
    const predicted = ethers.getCreate2Address(deployer, salt, ethers.keccak256(code));
    const before = await http.getCode(predicted);
    const receipt = await (await wallet.sendTransaction({ to: deployer, data: salt + code.slice(2) })).wait();
    const made = new ethers.Contract(predicted, box.abi, http);
    return { status: receipt.status, before, value: await made.value() };
  },

  async multicall() {
    const calls3 = "tuple(address target, bool allowFailure, bytes callData)[] calls";
    const results3 = "tuple(bool success, bytes returnData)[] results";
    const abi = [`function aggregate3(${calls3}) payable returns (${results3})`];
    const many = new ethers.Contract(multicall, abi, http);
    const target = await token.getAddress();
    const calls = [
      ["symbol", []],
      ["refuse", [1n]],
      ["refuse", [9n]],
    ];
    const encoded = calls.map(([method, args]) => [
      target,
      true,
      token.interface.encodeFunctionData(method, args),
    ]);
    const results = await many.aggregate3.staticCall(encoded);
    const decode = (place) =>
      token.interface.decodeFunctionResult(calls[place][0], results[place].returnData)[0];
    return {
      succeeded: results.map((result) => result.success),
      symbol: decode(0),
      refusal: token.interface.parseError(results[1].returnData).name,
      number: decode(2),
    };
  },

  async revert_reasons() {
    const errors = [];
    for (const kind of [0n, 1n, 2n, 3n]) errors.push(await refused(token.refuse(kind)));
    const mined = await refused(
      token.transfer(friend, ethers.parseEther("5000"), { gasLimit: 100_000n }).then((sent) => sent.wait()),
    );
    return {
      words: errors[0].reason,
      custom: [errors[1].revert.name, ...errors[1].revert.args],
      panic: errors[2].revert.args[0],
      silent: errors[3].data,
      mined: mined.receipt.status,
    };
  },

  async nonces() {
    const nonce = await http.getTransactionCount(me, "pending");
    const fees = (most) => ({ maxFeePerGas: most, maxPriorityFeePerGas: most / 10n, gasLimit: 21_000n });
    const draft = (n, most) => wallet.sendTransaction({ to: friend, value: 1n, nonce: n, ...fees(most) });
    const high = ethers.parseUnits("40", "gwei");
    const early = await draft(nonce + 1, high);
    const pending = await http.getTransactionCount(me, "pending");
    const cheap = await refused(draft(nonce + 1, high + 1n));
    const better = await draft(nonce + 1, high * 2n);
    const first = await draft(nonce, high);
    const receipts = [await http.waitForTransaction(first.hash), await http.waitForTransaction(better.hash)];
    const late = await refused(draft(nonce, high));
    return {
      waits: pending === nonce,
      replaced: (await http.getTransactionReceipt(early.hash)) === null,
      statuses: receipts.map((receipt) => receipt.status),
      cheap: cheap.code === "REPLACEMENT_UNDERPRICED" ? "underpriced" : String(cheap),
      late: late.code === "NONCE_EXPIRED" ? "too low" : String(late),
    };
  },

  async access_list() {
    const made = await contractOf(box, 1n);
    const target = await made.getAddress();
    const data = made.interface.encodeFunctionData("set", [5n]);
    const found = await http.send("eth_createAccessList", [{ from: me, to: target, data }, "latest"]);
    const receipts = [];
    for (const type of [1, 2]) {
      const sent = await wallet.sendTransaction({ to: target, data, type, accessList: found.accessList });
      receipts.push(await sent.wait());
    }
    const stored = await http.getTransaction(receipts[0].hash);
    return {
      listed: stored.accessList.map((entry) => [entry.address, entry.storageKeys]),
      target,
      types: receipts.map((receipt) => receipt.type),
      statuses: receipts.map((receipt) => receipt.status),
    };
  },

  async delegation() {
    const authority = new ethers.Wallet(ethers.id(`${name} authority`), http);
    const code = await (await contractOf(routine)).getAddress();
    const call = new ethers.Interface(routine.abi);
    const delegate = async (address, nonce) =>
      wallet.sendTransaction({
        type: 4,
        to: authority.address,
        data: address === ethers.ZeroAddress ? "0x" : call.encodeFunctionData("run", [9n]),
        authorizationList: [await authority.authorize({ address, nonce })],
        gasLimit: 200_000n,
      });
    const receipt = await (await delegate(code, 0)).wait();
    const ran = call.parseLog(receipt.logs[0]);
    const during = await http.getCode(authority.address);
    await (await delegate(ethers.ZeroAddress, 1)).wait();
    return {
      type: receipt.type,
      authority: authority.address,
      ran: [ran.args[0], ran.args[1]],
      during,
      expected: "0xef0100" + code.slice(2).toLowerCase(),
      after: await http.getCode(authority.address),
    };
  },

  async proof() {
    const made = await contractOf(box, 77n);
    const target = await made.getAddress();
    const slots = [0, 1].map((slot) => ethers.zeroPadValue(ethers.toBeHex(slot), 32));
    const { number } = await http.getBlock("latest");
    const block = await http.send("eth_getBlockByNumber", [ethers.toQuantity(number), false]);
    const given = await http.send("eth_getProof", [target, slots, ethers.toQuantity(number)]);
    const prove = (root, key, proof) => proved(root, key, proof, ethers.keccak256, ethers.decodeRlp);
    const account = ethers.decodeRlp(prove(block.stateRoot, target, given.accountProof));
    const held = given.storageProof.map(({ proof }, place) => prove(account[2], slots[place], proof));
    const nobody = ethers.getAddress(ethers.dataSlice(ethers.id(`${name} nobody`), 12));
    const absent = await http.send("eth_getProof", [nobody, [], ethers.toQuantity(number)]);
    return {
      nonce: Number(account[0]),
      code: account[3] === ethers.keccak256(await http.getCode(target)),
      value: Number(ethers.decodeRlp(held[0])),
      empty: held[1],
      absent: prove(block.stateRoot, nobody, absent.accountProof),
    };
  },

  async fork() {
    const there = new ethers.JsonRpcProvider(order.fork, undefined, { cacheTimeout: -1 });
    const same = new ethers.Contract(order.token, voucher.abi, wallet.connect(there));
    const held = await same.balanceOf(me);
    const mints = await same.queryFilter(same.filters.Transfer(ethers.ZeroAddress), 0, "latest");
    const receipt = await (await same.transfer(friend, 5n)).wait();
    return {
      held,
      mints: mints.length,
      status: receipt.status,
      left: await same.balanceOf(me),
      untouched: await same.connect(http).balanceOf(me),
    };
  },

  async snapshots() {
    const read = () => http.getBalance(friend);
    const height = await http.getBlockNumber();
    const before = await read();
    const snapshot = await http.send("evm_snapshot", []);
    await (await wallet.sendTransaction({ to: friend, value: 5n })).wait();
    const between = await read();
    const undone = await http.send("evm_revert", [snapshot]);
    return {
      gained: between - before,
      undone,
      left: (await read()) - before,
      climbed: (await http.getBlockNumber()) - height,
    };
  },
});
