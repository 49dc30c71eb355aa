// One message, again and again, in @ethereumjs/evm: program on standard input, best time on output.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.EVM_MODULES}/`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { createEVM } = await load("@ethereumjs/evm");
const { Common, Hardfork, Mainnet } = await load("@ethereumjs/common");
const { Address, Account, hexToBytes } = await load("@ethereumjs/util");

const program = JSON.parse(readFileSync(0, "utf8"));
const common = new Common({ chain: Mainnet, hardfork: Hardfork.Cancun });
const evm = await createEVM({ common });
const at = (text) => new Address(hexToBytes(text));
for (const [address, code] of Object.entries(program.codes)) {
  await evm.stateManager.putAccount(at(address), new Account(1n, 10n ** 30n));
  await evm.stateManager.putCode(at(address), hexToBytes(code));
}
for (const [address, slots] of Object.entries(program.storage)) {
  for (const [slot, value] of Object.entries(slots)) {
    await evm.stateManager.putStorage(at(address), hexToBytes(slot), hexToBytes(value));
  }
}
const message = {
  caller: at(program.user),
  to: at(program.target),
  data: hexToBytes(program.data),
  gasLimit: BigInt(program.gas),
};
let best = Infinity;
let gas = 0n;
for (let round = 0; round < program.rounds; round += 1) {
  const start = process.hrtime.bigint();
  const result = await evm.runCall(message);
  best = Math.min(best, Number(process.hrtime.bigint() - start) / 1e3);
  if (result.execResult.exceptionError) throw new Error(result.execResult.exceptionError.error);
  gas = result.execResult.executionGasUsed;
}
console.log(JSON.stringify({ us: best, gas: Number(gas) }));
