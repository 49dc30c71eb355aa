"""Random state tests, each run on several VMs, which must not differ in anything.

`bytecode` makes programs, `worlds` whole tests around them in the format of Ethereum's
state tests, `compare` runs them and tells the first difference. `make fuzz-vm` goes on for
as long as it is told to; a bounded run belongs to the tests.
"""
