"""Talking to people and scripts: results on stdout, everything else on stderr."""

import getpass
import json
import sys
from pathlib import Path

from chain.errors import Rejected
from wallet.key_folder import read_text
from wallet.outcome import Exit, Failed
from wallet.settings import PREFIX, Settings


class Console:
    """One command's output. With `json_only` stdout carries one JSON value and nothing else."""

    def __init__(self, json_only: bool) -> None:
        self.json_only = json_only
        self._progress_shown = False

    def result(self, facts: object, *lines: str) -> None:
        """What the command found: `facts` for scripts, `lines` for people."""
        text = json.dumps(facts) if self.json_only else "\n".join(lines)
        if text:
            print(text, flush=True)

    def failure(self, error: Failed) -> None:
        """Why the command failed; under --json also as {"error": {...}} on stdout."""
        self.note(f"chain-wallet: {error.message}")
        if self.json_only:
            facts = {"exit": int(error.exit_code), "message": error.message} | error.facts
            print(json.dumps({"error": facts}), flush=True)

    def note(self, line: str) -> None:
        """A line for people, on stderr."""
        self.end_progress()
        print(line, file=sys.stderr, flush=True)

    def progress(self, line: str) -> None:
        """A line that the next one replaces; a terminal sees each, a log file the first only."""
        if sys.stderr.isatty():
            print(f"\r\x1b[2K{line}", end="", file=sys.stderr, flush=True)
        elif not self._progress_shown:
            print(line, file=sys.stderr, flush=True)
        self._progress_shown = True

    def end_progress(self) -> None:
        if self._progress_shown and sys.stderr.isatty():
            print(file=sys.stderr)
        self._progress_shown = False


def password_for(purpose: str, settings: Settings, *, new: bool = False) -> str:
    """The password from the file or variable of the settings, else asked for without echo.

    With `new` it is asked for twice. Failed(USAGE) when nobody is there to ask.
    """
    if settings.password_file is not None:
        return password_in(settings.password_file)
    if settings.password is not None:
        return settings.password
    password = ask_hidden(f"Password {purpose}: ", f"{PREFIX}PASSWORD or --password-file")
    if new:
        if not password:
            raise Failed(Exit.USAGE, "the password is empty")
        if ask_hidden("The same again: ", "--password-file") != password:
            raise Failed(Exit.USAGE, "the two passwords differ")
    return password


def password_in(path: Path) -> str:
    """The first line of a file."""
    try:
        return read_text(path).partition("\n")[0].removesuffix("\r")
    except Rejected as error:
        raise Failed(Exit.USAGE, f"the password file: {error.detail}") from error


def ask_hidden(prompt: str, instead: str) -> str:
    """A line typed at the terminal, not shown. Failed(USAGE) without a terminal."""
    # With the standard input redirected, getpass asks on the controlling terminal.
    if not (sys.stdin.isatty() or sys.stderr.isatty()):
        raise Failed(Exit.USAGE, f"nobody to ask ({prompt.strip(': ')}); use {instead}")
    try:
        return getpass.getpass(prompt, stream=sys.stderr)
    except EOFError as error:
        raise Failed(Exit.USAGE, f"nothing was typed ({prompt.strip(': ')})") from error
