"""Which tracer a request asks for, by geth's names and options."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from node.tracing.calls import Message, MessageTracer, nested
from node.tracing.combined import CombinedTracer
from node.tracing.flat import flat
from node.tracing.prestate import PrestateOptions, PrestateTracer
from node.tracing.selectors import SelectorTracer
from node.tracing.tracer import Budget, Factory, Subject, TransactionTracer

_PATH_BYTES: Final = 16  # of an item of a flat trace's path, in memory or as text
_TRACERS_MAX: Final = 16  # in one muxTracer, counting those inside of others


def choose(name: str, config: Mapping[str, Any]) -> Factory:
    """The maker of the tracer with this name; ValueError for a wrong name or option."""
    return _choose(name, config, [_TRACERS_MAX])


def _choose(name: str, config: Mapping[str, Any], left: list[int]) -> Factory:
    left[0] -= 1
    if left[0] < 0:
        raise ValueError(f"more than {_TRACERS_MAX} tracers")
    if name == "muxTracer":
        chosen = {each: _choose(each, _object(value), left) for each, value in config.items()}
        return partial(_combined, chosen)
    made = _TRACERS.get(name)
    if made is None:
        raise ValueError(f"tracer not found: {name[:80]}")
    return made(config)


def flag(config: Mapping[str, Any], key: str) -> bool:
    """A switch among the options, off when it is not there."""
    value = config.get(key)
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"json: cannot unmarshal {key} into Go value of type bool")
    return bool(value)


def _object(value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("the options of a tracer are not an object")
    return value


def _combined(chosen: Mapping[str, Factory], subject: Subject, budget: Budget) -> TransactionTracer:
    return CombinedTracer({name: make(subject, budget) for name, make in chosen.items()})


def _calls(config: Mapping[str, Any]) -> Factory:
    only_top, with_logs = flag(config, "onlyTopCall"), flag(config, "withLog")

    def show(root: Message, subject: Subject) -> Any:
        return nested(root, with_logs=with_logs)

    return partial(MessageTracer, show=show, only_top=only_top)


def _flat(config: Mapping[str, Any]) -> Factory:
    show = partial(
        flat,
        parity_errors=flag(config, "convertParityErrors"),
        with_precompiles=flag(config, "includePrecompiles"),
    )
    return partial(MessageTracer, show=show, level_bytes=_PATH_BYTES)


def _prestate(config: Mapping[str, Any]) -> Factory:
    options = PrestateOptions(
        changes=flag(config, "diffMode"),
        code=not flag(config, "disableCode"),
        storage=not flag(config, "disableStorage"),
        empty=flag(config, "includeEmpty"),
    )
    if options.changes and options.empty:
        raise ValueError("cannot use diffMode with includeEmpty")
    return partial(PrestateTracer, options=options)


_TRACERS: Final[dict[str, Callable[[Mapping[str, Any]], Factory]]] = {
    "callTracer": _calls,
    "flatCallTracer": _flat,
    "prestateTracer": _prestate,
    "4byteTracer": lambda config: SelectorTracer,
    "noopTracer": lambda config: partial(_combined, {}),
}
