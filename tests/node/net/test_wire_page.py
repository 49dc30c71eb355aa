"""docs/protocol/wire.md says what there is."""

from pathlib import Path

import msgspec

from node.net.rates import KINDS


def test_the_page_lists_every_message_with_its_fields_and_limits() -> None:
    page = (Path(__file__).parents[3] / "docs" / "protocol" / "wire.md").read_text("utf-8")
    for message, kind in KINDS.items():
        fields = ", ".join(field.name for field in msgspec.structs.fields(message))
        number = message.__struct_config__.tag
        row = (
            f"| {number} | {kind.name} | {fields} | {kind.bytes_max:,} | {kind.per_second:g} "
            f"| {kind.burst:,} | {kind.level} |"
        )
        assert row in page, row
