"""Compiled code: a contract's hot code as functions of the machine, made from the same lowerings.

`flow` cuts code into blocks, `regions` groups blocks into functions, `writer` writes
those as assembly, `compiler` makes machine code of it, within limits, `worker` is the
process in which that happens, and `tier` decides what is compiled and when.

A compiled function has the parameters of an opcode's function, so the interpreter can
enter one wherever the code is marked, and a function can give any opcode back to the
interpreter. It does so whenever something unusual comes up - too little gas, a
stack too low or too high, an area that is full, a slot that Python has to look up - with
everything as it was before the opcode. So compiled code never halts or leaves itself,
and the reasons why code ends are the interpreter's alone.
"""
