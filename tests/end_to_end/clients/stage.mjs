// What the scripts of all JavaScript clients share: the order that they get on standard input,
// and how they report. A scenario is an async function that returns what it saw.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

export const require = createRequire(`${process.env.CLIENT_MODULES}/`);
export const order = JSON.parse(readFileSync(0, "utf8"));

/** Runs the scenarios that the order names, in the order of `scenarios`, and prints
 * {name: {...what it saw} or {error}} as JSON. */
export async function perform(scenarios) {
  const seen = {};
  for (const [name, scenario] of Object.entries(scenarios)) {
    if (!order.wanted.includes(name)) continue;
    try {
      seen[name] = await scenario();
    } catch (error) {
      seen[name] = { error: String(error?.stack ?? error).slice(0, 3000) };
    }
  }
  console.log(
    JSON.stringify(seen, (_, value) => (typeof value === "bigint" ? value.toString() : value)),
  );
  process.exit(0);
}

/** The value that a proof holds for a key under a root, RLP-encoded; null where it proves that
 * there is none. Throws when it proves nothing. `keccak` and `decode` are the client's own, on
 * 0x hexadecimal; a trie by Ethereum's rules, whose keys are hashed. */
export function proved(root, key, proof, keccak, decode) {
  let path = keccak(key).slice(2);
  let next = root;
  if (proof.length === 0 && root === keccak("0x80")) return null;
  for (const [step, encoded] of proof.entries()) {
    if (keccak(encoded) !== next) throw new Error(`node ${step} is not the one that its parent names`);
    let node = decode(encoded);
    while (Array.isArray(node)) {
      // A node of less than 32 bytes lies within its parent.
      if (node.length === 17) {
        next = path === "" ? node[16] : node[parseInt(path[0], 16)];
        path = path.slice(1);
      } else {
        const kind = parseInt(node[0][2], 16);
        const part = node[0].slice(kind % 2 ? 3 : 4);
        if (!path.startsWith(part)) return null;
        path = path.slice(part.length);
        if (kind >= 2) return node[1];
        next = node[1];
      }
      if (next === "0x") return null;
      node = next;
    }
  }
  throw new Error("the proof ends before its key");
}
