"""What the README promises a newcomer, done to the letter."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.daemon import running

_README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def _file(name: str) -> str:
    """The file of this name among the README's code blocks."""
    found = re.search(rf"```python {re.escape(name)}\n(.*?)```", _README, re.DOTALL)
    assert found is not None, name
    return found.group(1)


def test_the_first_contract_prints_what_the_readme_says(tmp_path: Path) -> None:
    """Given a new ledger, when the README's two files are run, then its output comes out."""
    promised = re.search(r"It prints\n\n```\n(.*?)```", _README, re.DOTALL)
    assert promised is not None
    (tmp_path / "guestbook.vy").write_text(_file("guestbook.vy"))
    with running("dev", "--datadir", str(tmp_path / "ledger")) as daemon:
        script = _file("first_contract.py").replace("http://127.0.0.1:8545", daemon.url)
        assert daemon.url in script
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout == promised.group(1)
