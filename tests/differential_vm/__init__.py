"""Random state tests and blocks, each run on several VMs, which must not differ in anything.

`bytecode` makes programs, `worlds` state tests around them in Ethereum's format, `compare`
runs those and tells the first difference. A state test has one transaction; `blocks` have
many, with messages and changes from outside between them on one living state, mostly to
the few contracts of `actors`. `play` runs a block and tells its first difference, `shrink`
makes it small. `make fuzz-vm` goes on for as long as it is told to; a bounded run belongs
to the tests.
"""
