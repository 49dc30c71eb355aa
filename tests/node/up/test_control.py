"""Orders: from the keyboard, and over the socket."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from chain.errors import Reason, Rejected
from node.up import control
from node.up.control import Keyboard, Order, Reply, listening, send


def pressed(keys: str, nodes: int = 4) -> list[Order]:
    keyboard = Keyboard(nodes)
    return [order for key in keys if (order := keyboard.press(key)) is not None]


def test_a_letter_and_a_place_are_an_order() -> None:
    assert pressed("k2") == [Order("kill", "2")]
    assert pressed("p0c0r3") == [
        Order("pause", "0"),
        Order("resume", "0"),
        Order("restart", "3"),
    ]


def test_q_stops_at_once() -> None:
    assert pressed("q") == [Order("stop")]


def test_what_is_no_order_does_nothing() -> None:
    assert pressed("2x\n k x2 \x1b[A") == []


def test_a_letter_begins_anew() -> None:
    assert pressed("kp1") == [Order("pause", "1")]


def test_with_many_nodes_a_place_may_have_two_digits() -> None:
    """Given twelve nodes, "1" may go on: another digit or Enter completes it."""
    assert pressed("k11", 12) == [Order("kill", "11")]
    assert pressed("k1", 12) == []
    assert pressed("k1\n", 12) == [Order("kill", "1")]
    assert pressed("k2", 12) == [Order("kill", "2")]
    assert pressed("k0", 12) == [Order("kill", "0")]


def test_an_order_over_the_socket_is_answered(tmp_path: Path) -> None:
    """Also in a folder whose path is longer than a socket's may be."""
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    heard: list[Order] = []

    async def obey(order: Order) -> Reply:
        heard.append(order)
        return Reply(True, "done")

    async def scenario() -> Reply:
        async with listening(folder, obey):
            assert (folder / control.SOCKET).stat().st_mode & 0o077 == 0
            return await asyncio.to_thread(send, folder, Order("kill", "2"))

    assert asyncio.run(scenario()) == Reply(True, "done")
    assert heard == [Order("kill", "2")]
    assert not (folder / control.SOCKET).exists()


def test_a_socket_that_was_left_behind_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / control.SOCKET).touch()

    async def obey(order: Order) -> Reply:
        return Reply(True, order.do)

    async def scenario() -> Reply:
        async with listening(tmp_path, obey):
            return await asyncio.to_thread(send, tmp_path, Order("status"))

    assert asyncio.run(scenario()) == Reply(True, "status")


@pytest.mark.parametrize("line", [b"hello\n", b"{}\n", b'{"do": 1}\n', b"x" * 200_000 + b"\n"])
def test_what_is_no_order_is_refused_and_the_network_goes_on(tmp_path: Path, line: bytes) -> None:
    async def obey(order: Order) -> Reply:
        return Reply(True, order.do)

    async def scenario() -> tuple[bytes, Reply]:
        async with listening(tmp_path, obey):
            with contextlib.chdir(tmp_path):
                reader, writer = await asyncio.open_unix_connection(control.SOCKET)
            answer = b""
            with contextlib.suppress(ConnectionError):
                writer.write(line)
                answer = await reader.readline()
            writer.close()
            return answer, await asyncio.to_thread(send, tmp_path, Order("status"))

    answer, after = asyncio.run(scenario())
    assert b'"ok":true' not in answer
    assert after == Reply(True, "status")


def test_without_a_network_an_order_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected) as caught:
        send(tmp_path, Order("kill", "1"))
    assert caught.value.reason is Reason.BAD_SETTING
