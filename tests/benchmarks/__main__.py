"""`python -m tests.benchmarks [NAME...]`: runs the named benchmarks, or all of them."""

import importlib
import pkgutil
import sys

from tests import benchmarks

_PREFIX = "bench_"


def main(names: list[str]) -> int:
    known = [
        module.name.removeprefix(_PREFIX)
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if module.name.startswith(_PREFIX)
    ]
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    for name in names or known:
        print(f"== {name}", flush=True)
        importlib.import_module(f"tests.benchmarks.{_PREFIX}{name}").main()
        print(flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
