"""The EVM: one opcode table, an interpreter on it, and the precompiled contracts.

`opcodes` is the table; `arithmetic`, `memory`, `storage`, `environment`, `control` and
`calls` are what its rows do. `program` makes code ready to run, `frame` is a message
in execution, `messages` starts and ends one, `interpreter` runs them all.
"""

from contracts.vm.interpreter import Interpreter
from contracts.vm.opcodes import OPCODES, Opcode
from contracts.vm.program import disassemble

__all__ = ["OPCODES", "Interpreter", "Opcode", "disassemble"]
