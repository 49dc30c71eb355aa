// Compiles a Solidity file with the solc of npm: prints {contract: {abi, bytecode}} as JSON.
// Usage: CLIENT_MODULES=<folder of node_modules> node compile.mjs FILE
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename } from "node:path";

const modules = process.env.CLIENT_MODULES;
const require = createRequire(`${modules}/`);
const solc = require("solc");

const file = process.argv[2];
const input = {
  language: "Solidity",
  sources: { [basename(file)]: { content: readFileSync(file, "utf8") } },
  settings: {
    optimizer: { enabled: true },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
  },
};
const readImport = (path) => ({ contents: readFileSync(`${modules}/${path}`, "utf8") });
const output = JSON.parse(solc.compile(JSON.stringify(input), { import: readImport }));
const errors = (output.errors ?? []).filter((entry) => entry.severity === "error");
if (errors.length) {
  console.error(errors.map((entry) => entry.formattedMessage).join("\n"));
  process.exit(1);
}
const contracts = Object.entries(output.contracts[basename(file)]).map(([name, made]) => [
  name,
  { abi: made.abi, bytecode: `0x${made.evm.bytecode.object}` },
]);
console.log(JSON.stringify(Object.fromEntries(contracts)));
