"""Keccak-256 in native code: the digests of another library, in registers and in vectors.

The form in vectors is for processors with AVX-512, but any can run it, so both run everywhere.
"""

import ctypes

import pytest
from Crypto.Hash import keccak as other
from hypothesis import given
from hypothesis import strategies as st

from contracts.vm.native import objects
from contracts.vm.native.assembly import Module
from contracts.vm.native.dialect import compile_kernels
from contracts.vm.native.kernels import memory
from contracts.vm.native.permutation import WIDE, add_permutation

binding = pytest.importorskip("llvmlite.binding")

FORMS = ("", WIDE)


@pytest.fixture(scope="module")
def forms():
    """Each form, as a function of a message that stands at an odd address."""
    engines = []

    def compiled(form):
        module = Module()
        add_permutation(module, {form})
        compile_kernels(module, memory)
        kernel = module.signatures["keccak"]
        f = module.function("call_keccak", "i64", kernel.parameters, public=True)
        f.give(f.call(kernel, f.arguments))
        machine = objects.target_machine(binding, opt=2)
        code = objects.compile_text(binding, machine, module.text())
        engines.append(objects.engine_of(binding, machine, code))
        pointer = ctypes.c_void_p
        kind = ctypes.CFUNCTYPE(ctypes.c_uint64, pointer, pointer, ctypes.c_uint64)
        function = kind(engines[-1].get_function_address("call_keccak"))

        def digest(message):
            out = ctypes.create_string_buffer(32)
            # What is behind the message must not matter.
            place = ctypes.create_string_buffer(b"\xee" + message + b"\xee" * 16)
            function(out, ctypes.addressof(place) + 1, len(message))
            return out.raw

        return digest

    yield {form: compiled(form) for form in FORMS}
    assert engines  # they own the code


def expected(message):
    return other.new(digest_bits=256, data=message).digest()


@pytest.mark.parametrize("form", FORMS)
def test_messages_of_every_length_up_to_300_have_the_other_librarys_digest(forms, form):
    """Two blocks and more, so that every place where a message can end in a block occurs."""
    for size in range(301):
        message = bytes((7 * i + size) % 256 for i in range(size))
        assert forms[form](message) == expected(message), size


@pytest.mark.parametrize("form", FORMS)
@given(message=st.one_of(st.binary(max_size=1000), st.binary(min_size=32, max_size=32)))
def test_any_message_has_the_other_librarys_digest(forms, form, message):
    """Those of 32 bytes have rounds of their own."""
    assert forms[form](message) == expected(message)


def test_processors_with_the_feature_get_vectors_and_others_none():
    """Vectors without the instructions for them would be slower than plain words."""
    for form in FORMS:
        module = Module()
        add_permutation(module, {form})
        assert ("<2 x i64>" in module.text()) is (form == WIDE)
