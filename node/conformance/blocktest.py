"""Blockchain tests: blocks offered one after another, on any branch; which is the head?

The format and its rules: tests/conformance/README of ethereum/tests, "blockchain tests".
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from msgspec import Struct

from chain import headers
from chain.activation import ChainConfig
from chain.blocks import Block, decode_block
from chain.errors import Reason, Rejected
from chain.execution import apply_block
from chain.machine import Machine
from chain.ommers import ANCESTORS_SEEN, check_ommers
from chain.types import ZERO_HASH, Hash
from chain.views import Overlay, TrieView
from contracts.vm import Interpreter
from node.conformance import fixtures
from node.conformance.fixtures import FileTests, MalformedFixture
from node.conformance.networks import network_config
from node.conformance.report import Result, add_test_arguments, run_tests
from node.conformance.tiers import TIERS, machine_of

_BLOCK_HASHES_SEEN: Final = 256


class _Link(Struct, frozen=True):
    """A block in the tree of accepted ones, with the state after it."""

    block: Block
    hash: Hash
    view: TrieView
    total_difficulty: int
    parent: "_Link | None"


class BlockTree:
    """All accepted blocks of a test, and the head among them.

    Before the merge the head has the largest total difficulty, the first seen of
    equals; a proof-of-stake block is the head once it is accepted.
    """

    def __init__(
        self, genesis: Block, view: TrieView, config: ChainConfig, machine: Machine, *, seal: bool
    ) -> None:
        root = _Link(
            genesis, headers.header_hash(genesis.header), view, genesis.header.difficulty, None
        )
        self.head = root
        self._links = {root.hash: root}
        self._config = config
        self._machine = machine
        self._seal = seal

    def offer(self, raw: bytes) -> None:
        """Take a block in; raises `Rejected` when it is not valid."""
        block = decode_block(raw)
        block_hash = headers.header_hash(block.header)
        link = self._links.get(block_hash)
        if link is None:
            link = self._apply(block, block_hash)
            self._links[block_hash] = link
        merged = self._config.merged_after(
            link.parent.total_difficulty if link.parent else link.total_difficulty
        )
        if merged or link.total_difficulty > self.head.total_difficulty:
            self.head = link

    def _apply(self, block: Block, block_hash: Hash) -> _Link:
        parent = self._links.get(block.header.parent_hash)
        if parent is None:
            raise Rejected(Reason.UNKNOWN_PARENT, f"0x{block.header.parent_hash.hex()}")
        if self._seal and block.header.difficulty:
            headers.check_seal(block.header)
        ancestors: list[Block] = []
        at: _Link | None = parent
        while at is not None and len(ancestors) < ANCESTORS_SEEN:
            ancestors.append(at.block)
            at = at.parent
        check_ommers(block, ancestors, self._config, seal=self._seal)
        executed = apply_block(
            parent.view,
            block,
            parent.block.header,
            self._machine,
            self._config,
            _block_hashes(parent),
            parent_total_difficulty=parent.total_difficulty,
        )
        view = Overlay(parent.view, executed.changes)
        return _Link(block, block_hash, view, executed.total_difficulty, parent)


def _block_hashes(parent: _Link) -> Callable[[int], Hash]:
    """The hash of an ancestor by number, along the branch that ends in `parent`."""

    def block_hash(number: int) -> Hash:
        at: _Link | None = parent
        for _ in range(_BLOCK_HASHES_SEEN):
            if at is None:
                break
            if at.block.header.number == number:
                return at.hash
            at = at.parent
        return ZERO_HASH

    return block_hash


# -- a test ----------------------------------------------------------------------------------------


def _genesis(test: fixtures.Json, view: TrieView) -> Block:
    """The first block, whose state must be the one that the test describes."""
    if raw := test.get("genesisRLP"):
        block = decode_block(fixtures.data(raw, "genesisRLP"))
    else:
        header = fixtures.parse_header(fixtures.member(test, "genesisBlockHeader"))
        block = Block(header, (), (), None if header.withdrawals_root is None else ())
    if block.header.state_root != view.root:
        raise MalformedFixture(f"genesis: state root is 0x{view.root.hex()}")
    return block


def _is_refusal(entry: fixtures.Json) -> bool:
    """Whether the test says that the block must be refused: a reason, or no header, is given."""
    return "blockHeader" not in entry or any(
        name.startswith("expectException") and entry[name] for name in entry
    )


def run_test(test: fixtures.Json, machine: Machine) -> dict[str, object]:
    """Offer a test's blocks; gives `pass`, `lastBlockHash`, `stateRoot` and `error`."""
    config = test.get("config")
    chain_id = 1
    if isinstance(config, Mapping) and config.get("chainid") is not None:
        chain_id = fixtures.integer(config["chainid"], "config.chainid")
    view = fixtures.view_of(fixtures.parse_state(fixtures.member(test, "pre")))
    tree = BlockTree(
        _genesis(test, view),
        view,
        network_config(str(fixtures.member(test, "network")), config, chain_id=chain_id),
        machine,
        seal=test.get("sealEngine", "Ethash") == "Ethash",
    )
    errors: list[str] = []
    for number, element in enumerate(fixtures.sequence(fixtures.member(test, "blocks"), "blocks")):
        entry = fixtures.mapping(element, f"blocks[{number}]")
        refused: str | None = None
        try:
            tree.offer(fixtures.data(fixtures.member(entry, "rlp"), f"blocks[{number}].rlp"))
        except Rejected as error:
            refused = str(error)
        if _is_refusal(entry) and refused is None:
            errors.append(f"blocks[{number}] was accepted")
        if not _is_refusal(entry) and refused is not None:
            errors.append(f"blocks[{number}] was refused, {refused}")
    wanted = test.get("lastblockhash")
    if not isinstance(wanted, str) or fixtures.data(wanted, "lastblockhash") != tree.head.hash:
        errors.append(f"the head should be {wanted}")
    return {
        "pass": not errors,
        "lastBlockHash": "0x" + tree.head.hash.hex(),
        "stateRoot": "0x" + tree.head.view.root.hex(),
        "error": "; ".join(errors) or None,
    }


def run_file(
    file: FileTests, machine: Machine | None = None, *, only_fork: str | None = None
) -> Iterator[Result]:
    """The results of a file's tests; a malformed one is a failed one."""
    machine = machine or Interpreter()
    if file.error is not None:
        yield _failure(file.path, None, None, file.error)
    for name, test in file.tests.items():
        network: object = None
        try:
            fields = fixtures.mapping(test, name)
            network = fields.get("network")
            if network is None and "blocks" not in fields:
                continue  # some files carry a table beside their tests
            if only_fork is not None and network != only_fork:
                continue
            result = run_test(fields, machine)
        except (MalformedFixture, Rejected) as error:
            yield _failure(file.path, name, network, f"malformed test: {error}")
        except Exception as error:  # one test's crash must not take the others' results
            yield _failure(file.path, name, network, f"crash: {type(error).__name__}: {error}")
        else:
            yield {"name": name, "fork": network, **result, "file": file.path}


def _failure(path: str, name: str | None, network: object, why: str) -> Result:
    return {
        "name": name,
        "fork": network,
        "pass": False,
        "lastBlockHash": None,
        "stateRoot": None,
        "error": why,
        "file": path,
    }


# -- the command -----------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `chain-node blocktest`."""
    add_test_arguments(parser)


def run_path(path: str, only_fork: str | None = None, tier: str = TIERS[0]) -> Iterator[Result]:
    return run_file(fixtures.load(path), machine_of(tier), only_fork=only_fork)


def run_blocktest(arguments: argparse.Namespace) -> int:
    """Run the command; gives the exit status, 0 whatever passed."""
    return run_tests(run_path, arguments)
