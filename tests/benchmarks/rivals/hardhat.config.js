// A chain with a block each second, as the others of the benchmark have.
export default {
  networks: {
    node: {
      type: "edr-simulated",
      chainId: 31337,
      blockGasLimit: 1_000_000_000,
      mining: { auto: false, interval: 1000 },
    },
  },
};
