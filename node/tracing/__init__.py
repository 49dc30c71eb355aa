"""Tracers: what happened in a transaction, in the shapes that geth's debug methods give.

`tracer` says what they share, `choice` finds one by its name; each other module has one
chain.machine.Tracer, or one way to show what it found. Nothing here knows of RPC.
"""

from node.tracing.choice import choose
from node.tracing.tracer import Budget, Factory, Place, Stopped, Subject, TransactionTracer

__all__ = ["Budget", "Factory", "Place", "Stopped", "Subject", "TransactionTracer", "choose"]
