"""Tests of the EVM: by opcode group, by kind of message, by precompile, and by way to run."""
