"""The ledger's rules: what a transaction, a block and a state are, and what is kept of them.

    types errors forks             names, the three kinds of wrong, every protocol number
    codec abi crypto               bytes: RLP, contract calls, hashes and signatures
    transactions blocks headers    what travels; its canonical bytes and its rules
    validation                     Transaction -> Checked: what needs no state
    genesis activation             the first block, and when each fork is in force
    state                          accounts with checkpoint and revert
    transition execution           a transaction applied, a block run
    trie commitment views          what a state root is; computing it for a change
    validators                     sets, votes, certificates
    ledger storage                 the committed chain and its one writer

No sockets, clock, randomness or asyncio; only `chain.storage` touches the disk. The
package never names the VM: it is handed a `chain.machine.Machine`.
"""
