"""Machine code on disk: believed only when it is whole and nobody else's."""

import errno

import pytest

from contracts.vm import Interpreter
from contracts.vm.native import objects
from contracts.vm.native.interpreter import NativeInterpreter
from tests.contracts.vm.laboratory import RETURN_TOP, run
from tests.contracts.vm.native.both import native


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and no object in this process yet."""
    native()  # its own folder, loaded or compiled before anything is counted
    objects.load_native.cache_clear()
    compiled = []
    original = objects.compile_text

    def counting(binding, machine, text):
        compiled.append(len(text))
        return original(binding, machine, "define i64 @nothing() { ret i64 0 }")

    monkeypatch.setattr(objects, "compile_text", counting)
    monkeypatch.setattr(objects, "Native", lambda engine: engine)
    folder = tmp_path / "native"

    def load():
        objects.load_native.cache_clear()
        before = len(compiled)
        assert objects.load_native(folder) is not None
        return len(compiled) > before

    yield folder, load
    objects.load_native.cache_clear()


def test_code_is_compiled_once_and_then_loaded(cache):
    _, load = cache
    assert load()
    assert not load()


def test_damaged_code_is_compiled_again(cache):
    folder, load = cache
    load()
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert load()
    assert not load()
    path.write_bytes(b"")
    assert load()


def test_code_that_others_may_have_written_is_not_run(cache):
    folder, load = cache
    load()
    (path,) = folder.iterdir()
    path.chmod(0o666)
    assert load()
    folder.chmod(0o777)
    assert load()


def test_a_cache_that_cannot_be_written_is_no_obstacle(cache):
    folder, load = cache
    folder.write_text("a file where the folder should be")
    assert load()
    assert load()


def test_a_disk_that_is_full_gets_no_fuller(cache, monkeypatch):
    folder, load = cache

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(objects.os, "replace", full)
        assert load()
    assert not list(folder.iterdir())
    assert load()
    assert len(list(folder.iterdir())) == 1


def test_what_the_code_depends_on_is_in_its_name(cache, monkeypatch):
    folder, load = cache
    load()
    monkeypatch.setattr(objects.kernels, "__file__", str(folder.parent / "__init__.py"))
    assert load()
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("module", ["machines", "frame"])
def test_numbers_of_halts_and_limits_are_in_its_name(cache, monkeypatch, module):
    """Machine code has them; with others Python would take one halt for another."""
    folder, load = cache
    load()
    changed = folder.parent / "changed.py"
    changed.write_text("# other numbers")
    monkeypatch.setattr(getattr(objects, module), "__file__", str(changed))
    assert load()


def test_the_users_cache_is_where_the_desktop_standard_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert objects.user_cache() == tmp_path / "chain-node" / "native"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert objects.user_cache().parts[-3:] == (".cache", "chain-node", "native")


def test_without_the_compiler_the_plain_interpreter_serves(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "llvmlite", None)
    objects.load_native.cache_clear()
    machine = NativeInterpreter()
    objects.load_native.cache_clear()
    assert not machine.is_native
    code = f"1 2 ADD {RETURN_TOP}"
    assert run(code, machine=machine).outcome == run(code, machine=Interpreter()).outcome
