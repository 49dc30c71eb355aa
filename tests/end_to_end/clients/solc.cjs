// The solc of npm in the place of the native one, as forge calls it: `--version`, or standard
// JSON from input to output. Usage: node solc.cjs <folder of node_modules> [solc's arguments]
const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");

const solc = createRequire(`${process.argv[2]}/`)("solc");
if (process.argv.includes("--version")) {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`);
} else {
  process.stdout.write(solc.compile(readFileSync(0, "utf8")));
}
