"""What the compiler makes of the ledger's contracts.

`python -m tests.contracts.system.compile` writes the artefact anew; that is a deliberate act,
since ledgers that exist keep the code of their genesis.
"""

import json
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).resolve().parents[3] / "contracts" / "system"


def compiled() -> dict[str, Any]:
    """The artefact of validators.vy as the installed compiler makes it."""
    import vyper  # type: ignore[import-untyped]

    made = vyper.compile_code(
        (FOLDER / "validators.vy").read_text("utf-8"),
        output_formats=["abi", "bytecode", "bytecode_runtime", "layout"],
    )
    slots = made["layout"]["storage_layout"]
    return {
        "contract": "validators",
        "compiler": f"vyper {vyper.__version__.partition('+')[0]}",
        "abi": made["abi"],
        "bytecode": made["bytecode"],
        "runtime": made["bytecode_runtime"],
        "storage": {
            name: {key: place[key] for key in ("slot", "n_slots", "type")}
            for name, place in slots.items()
        },
    }


def written(artefact: dict[str, Any]) -> str:
    """The artefact as it stands in the file."""
    return json.dumps(artefact, indent=1) + "\n"


if __name__ == "__main__":
    (FOLDER / "validators.json").write_text(written(compiled()), "utf-8")
