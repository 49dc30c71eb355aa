"""Which tracer a request asks for, by geth's names and options."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from node.rpc.parameters import GoError, json_kind, parse_bool
from node.rpc.structures import Structure
from node.tracing.calls import Message, MessageTracer, nested
from node.tracing.combined import CombinedTracer
from node.tracing.flat import flat
from node.tracing.prestate import PrestateOptions, PrestateTracer
from node.tracing.selectors import SelectorTracer
from node.tracing.tracer import Budget, Factory, Subject, TransactionTracer

_PATH_BYTES: Final = 16  # of an item of a flat trace's path, in memory or as text
_TRACERS_MAX: Final = 16  # in one muxTracer, counting those inside of others


def choose(name: str, config: Any) -> Factory:
    """The maker of the tracer with this name; ValueError for a wrong name or option.

    `config` is a decoded JSON value; None: nothing is asked for.
    """
    return _choose(name, config, [_TRACERS_MAX])


def _choose(name: str, config: Any, left: list[int]) -> Factory:
    left[0] -= 1
    if left[0] < 0:
        raise ValueError(f"more than {_TRACERS_MAX} tracers")
    if name == "muxTracer":
        wanted = {} if config is None else config
        if not isinstance(wanted, dict):
            raise GoError(json_kind(wanted), "map[string]json.RawMessage")
        chosen = {each: _choose(each, value, left) for each, value in wanted.items()}
        return partial(_combined, chosen)
    made = _TRACERS.get(name)
    if made is None:
        raise ValueError(f"tracer not found: {name[:80]}")
    return made(config)


def _combined(chosen: dict[str, Factory], subject: Subject, budget: Budget) -> TransactionTracer:
    return CombinedTracer({name: make(subject, budget) for name, make in chosen.items()})


def _options(go_type: str, *names: str) -> Callable[[Any], tuple[bool, ...]]:
    """A parser of switches, off when they are not there."""
    structure = Structure(go_type, dict.fromkeys(names, parse_bool))

    def read(config: Any) -> tuple[bool, ...]:
        found = structure.read(config)
        return tuple(bool(found.get(name)) for name in names)

    return read


_call_options: Final = _options("native.callTracerConfig", "onlyTopCall", "withLog")
_flat_options: Final = _options(
    "native.flatCallTracerConfig", "convertParityErrors", "includePrecompiles"
)
_prestate_options: Final = _options(
    "native.prestateTracerConfig", "diffMode", "disableCode", "disableStorage", "includeEmpty"
)


def _calls(config: Any) -> Factory:
    only_top, with_logs = _call_options(config)

    def show(root: Message, subject: Subject) -> Any:
        return nested(root, with_logs=with_logs)

    return partial(MessageTracer, show=show, only_top=only_top)


def _flat(config: Any) -> Factory:
    parity_errors, with_precompiles = _flat_options(config)
    show = partial(flat, parity_errors=parity_errors, with_precompiles=with_precompiles)
    return partial(MessageTracer, show=show, level_bytes=_PATH_BYTES)


def _prestate(config: Any) -> Factory:
    changes, without_code, without_storage, empty = _prestate_options(config)
    options = PrestateOptions(
        changes=changes, code=not without_code, storage=not without_storage, empty=empty
    )
    if options.changes and options.empty:
        raise ValueError("cannot use diffMode with includeEmpty")
    return partial(PrestateTracer, options=options)


_TRACERS: Final[dict[str, Callable[[Any], Factory]]] = {
    "callTracer": _calls,
    "flatCallTracer": _flat,
    "prestateTracer": _prestate,
    "4byteTracer": lambda config: SelectorTracer,
    "noopTracer": lambda config: partial(_combined, {}),
}
