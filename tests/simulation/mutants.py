"""Planted bugs: the twelve of section 8 of the protocol page, each as an edit of product code.

The product has no switches for them. `planted` replaces the code of the functions named
here by an edited copy of their own source for as long as its block runs; an edit that no
longer finds its words fails loudly.
"""

import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any, cast

from msgspec import Struct

_Cached = type(lru_cache(len))


class Edit(Struct, frozen=True):
    """In the source of a function: these words, and what stands in their place."""

    where: str  # module:function or module:Class.method
    old: str
    new: str


class Mutant(Struct, frozen=True):
    name: str
    edits: tuple[Edit, ...]


_CORE = "node.consensus.core:Core."
_VOTES = "chain.validators:"

# Found by cores, signers and vote logs alone.
CORE_MUTANTS = (
    Mutant(
        "finalize after nullify",
        (
            Edit(_CORE + "_finalize", "or state.nullified", "or False"),
            Edit(
                "node.consensus.signer:_excludes",
                "if earlier.kind is VoteKind.NULLIFY:",
                "if earlier.kind is VoteKind.NULLIFY and ballot.kind is VoteKind.NOTARIZE:",
            ),
            Edit(
                "node.consensus.signer:_excludes",
                "return earlier.block_hash != ballot.block_hash",
                "return VoteKind.NULLIFY is not earlier.kind "
                "and earlier.block_hash != ballot.block_hash",
            ),
        ),
    ),
    Mutant(
        "nullify after finalize",
        (
            # Entering the next view alone would already prevent it: both have to go.
            Edit(_CORE + "_nullify", " or state.finalized is not None", ""),
            Edit(_CORE + "_nullify", "or view != self.view", ""),
            Edit(_CORE + "_nullify", "self._views[self.view]", "self._views[view]"),
            Edit(
                "node.consensus.signer:_excludes",
                "earlier.kind is not VoteKind.NOTARIZE",
                "earlier.kind is VoteKind.NULLIFY",
            ),
        ),
    ),
    Mutant(
        "skip proof unchecked",
        (Edit(_CORE + "_justified", "unskipped > proposal.parent_view", "unskipped < 0"),),
    ),
    Mutant(
        "vote log lost in a crash",
        (
            Edit(
                "node.consensus.vote_log:VoteLog._open",
                "data = self._file.read()\n",
                "data = None\n",
            ),
        ),
    ),
    Mutant(
        "parent view outside the hash",
        (
            Edit(
                _VOTES + "record_hash",
                "encode_record(record)",
                "encode_record(__import__('msgspec').structs.replace(record, parent_view=0))",
            ),
            Edit(
                _VOTES + "Domain.sign_hash",
                "ballot.parent_view.to_bytes",
                "(0).to_bytes",
            ),
        ),
    ),
    Mutant(
        "quorum of two thirds exactly",
        (Edit(_VOTES + "ValidatorSet.quorum", "3 * power > 2", "3 * power >= 2"),),
    ),
    Mutant(
        "epoch missing from the sign bytes",
        (Edit(_VOTES + "Domain.sign_hash", "ballot.epoch.to_bytes", "(0).to_bytes"),),
    ),
    Mutant(
        "certificate counting one signer twice",
        (
            Edit(
                _VOTES + "check_certificate",
                "if found != member.address:",
                "if found not in [each.address for each in members]:",
            ),
        ),
    ),
    Mutant(
        "fsync removed",
        (
            Edit(
                "node.consensus.vote_log:VoteLog.append",
                "self._file.append(data)",
                "self._file.write(data)",
            ),
        ),
    ),
    Mutant(
        "stale certificate accepted for a new epoch",
        (Edit(_CORE + "_hold", "if ballot.epoch != self.epoch.number:", "if ballot.epoch < 0:"),),
    ),
)

# Found by whole nodes only.
NODE_MUTANTS = (
    Mutant(
        "state batch without sync",
        (Edit("chain.ledger:Ledger.commit", "sync=self.synced", "sync=False"),),
    ),
    # The contract ages evidence by height. Here a node refuses blocks with evidence that is
    # older than 0.3 s by its own clock: those who run a block later see another block.
    Mutant(
        "evidence aged by the local clock",
        (
            Edit(
                "node.consensus.workshop:Workshop.execute",
                "return await self._timed(",
                "if any(item.to == __import__('chain.staking').staking.STAKING_ADDRESS "
                "for item in proposed.block.transactions) "
                "and self._now_ms() - proposed.record.timestamp_ms > 300: "
                "raise Rejected(Reason.BAD_EVIDENCE, 'too old')\n"
                "    return await self._timed(",
            ),
        ),
    ),
)


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """The product has this bug while the block runs."""
    with ExitStack() as undo:
        for where in dict.fromkeys(edit.where for edit in mutant.edits):
            named = _named(where)
            if isinstance(named, _Cached):  # what it knows is of the other code
                named.cache_clear()
                undo.callback(named.cache_clear)
            function = inspect.unwrap(named)
            edits = [edit for edit in mutant.edits if edit.where == where]
            undo.callback(setattr, function, "__code__", function.__code__)
            function.__code__ = _edited(function, edits)
        yield


def _named(where: str) -> Callable[..., Any]:
    module, _, path = where.partition(":")
    found: object = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    assert isinstance(found, FunctionType | _Cached), where
    return found


def _edited(function: FunctionType, edits: list[Edit]) -> CodeType:
    source = textwrap.dedent(inspect.getsource(function))
    for edit in edits:
        if source.count(edit.old) != 1:
            raise LookupError(f"{edit.where} no longer says {edit.old!r} once")
        source = source.replace(edit.old, edit.new)
    scope: dict[str, object] = {}
    # The tree's own source with a line changed: nothing from outside is run here.
    exec(
        compile(source, f"<mutant of {function.__qualname__}>", "exec"), function.__globals__, scope
    )
    made = inspect.unwrap(cast("Callable[..., Any]", scope[function.__name__]))
    assert isinstance(made, FunctionType)
    return made.__code__
