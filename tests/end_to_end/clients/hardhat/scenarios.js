// What hardhat's own connection to a ledger is for, run by `hardhat run`. Prints what it saw as
// one line of JSON, as tests/support/capabilities.py expects.
import { network } from "hardhat";
import * as viem from "viem";

const { friend, wanted, deployer, rpc } = JSON.parse(process.env.LEDGER);
const ledger = await network.connect("ledger");
const client = await ledger.viem.getPublicClient({ pollingInterval: 50, cacheTime: 0 });
const [wallet] = await ledger.viem.getWalletClients({ pollingInterval: 50, cacheTime: 0 });
const options = { client: { public: client, wallet } };
const mined = async (sent) => client.waitForTransactionReceipt({ hash: await sent });
let token;

async function refused(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    return error.walk((cause) => cause instanceof viem.ContractFunctionRevertedError);
  }
}

const scenarios = {
  async deploy() {
    token = await ledger.viem.deployContract("Voucher", [10n ** 21n], options);
    const hash = await wallet.deployContract({ ...(await artefact()), args: [1n] });
    const receipt = await client.waitForTransactionReceipt({ hash });
    return {
      status: receipt.status === "success" ? 1 : 0,
      address: token.address,
      code: await client.getCode({ address: token.address }),
      name: await token.read.name(),
      supply: await token.read.totalSupply(),
    };
  },

  async log_query() {
    const fromBlock = (await client.getBlockNumber()) + 1n;
    for (const amount of [31n, 32n]) await mined(token.write.transfer([friend, amount]));
    const found = await token.getEvents.Transfer({ to: friend }, { fromBlock });
    const none = await token.getEvents.Transfer({ from: friend }, { fromBlock });
    return { events: found.map(({ args }) => args), others: none.length };
  },

  async revert_reasons() {
    const errors = [];
    for (const kind of [0n, 1n, 2n, 3n]) errors.push(await refused(token.read.refuse([kind])));
    const sent = token.write.transfer([friend, 5n * 10n ** 21n], { gas: 100_000n });
    const receipt = await mined(sent);
    return {
      words: errors[0].reason,
      custom: [errors[1].data.errorName, ...errors[1].data.args],
      panic: errors[2].data.args[0],
      silent: errors[3].raw ?? "0x",
      mined: receipt.status === "reverted" ? 0 : 1,
    };
  },

  async snapshots() {
    const balance = () => client.getBalance({ address: friend });
    const helpers = ledger.networkHelpers;
    const fixture = async () => client.getBlockNumber();
    const height = await helpers.loadFixture(fixture);
    const before = await balance();
    const taken = await helpers.takeSnapshot();
    await mined(wallet.sendTransaction({ to: friend, value: 5n }));
    const between = await balance();
    const later = (await helpers.time.latest()) + 3600;
    await helpers.time.increaseTo(later);
    const moved = (await helpers.time.latest()) === later;
    await taken.restore();
    const undone = moved && (await helpers.loadFixture(fixture)) === height;
    return {
      gained: between - before,
      undone,
      left: (await balance()) - before,
      climbed: (await client.getBlockNumber()) - height,
    };
  },

  async forked_by_it() {
    // Hardhat forks below what might be reorganized; here every block is final.
    const blockNumber = Number(await client.getBlockNumber());
    const override = { forking: { url: rpc, blockNumber } };
    const fork = await network.connect({ network: "fork", override });
    const there = await fork.viem.getPublicClient();
    const same = await fork.viem.getContractAt("Voucher", token.address);
    const holder = wallet.account.address;
    const held = await token.read.balanceOf([holder]);
    await fork.provider.request({ method: "hardhat_impersonateAccount", params: [holder] });
    const actor = await fork.viem.getWalletClient(holder);
    await same.write.transfer([deployer, held], { account: actor.account });
    const moved = await same.read.balanceOf([deployer]);
    const untouched = await token.read.balanceOf([holder]);
    const height = await there.getBlockNumber();
    return {
      results: [moved >= held && untouched === held && height > 0n ? "Success" : "Failure"],
    };
  },
};

async function artefact() {
  const { artifacts } = await import("hardhat");
  return artifacts.readArtifact("Voucher");
}

const seen = {};
for (const [name, scenario] of Object.entries(scenarios)) {
  if (!wanted.includes(name)) continue;
  try {
    seen[name] = await scenario();
  } catch (error) {
    seen[name] = { error: String(error?.stack ?? error).slice(0, 3000) };
  }
}
const plain = (_, value) => (typeof value === "bigint" ? value.toString() : value);
console.log(`SEEN ${JSON.stringify(seen, plain)}`);
process.exit(0);
