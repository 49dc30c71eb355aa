"""Blobs in a request: what proves them is made where it is missing, and checked where it is not."""

from typing import Any

import pytest
from msgspec.structs import replace

from chain.blobs import BLOB_PROOFS, CELL_PROOFS, BlobSidecar, build_sidecar, versioned_hash
from chain.forks import CANCUN, OSAKA, Fork
from node.rpc.errors import RpcError
from node.rpc.request_blobs import sidecar_of
from node.rpc.requests import CallRequest

BLOB = (b"\0" + b"\7" * 31) * 4096
WRONG = bytes(48)


@pytest.fixture(scope="module")
def sidecar() -> BlobSidecar:
    return build_sidecar((BLOB,), CELL_PROOFS)


def _refusal(**fields: Any) -> str:
    with pytest.raises(RpcError) as error:
        sidecar_of(CallRequest(**{"blobs": (BLOB,), **fields}), OSAKA)
    assert error.value.code == -32000
    return error.value.message


@pytest.mark.parametrize(("fork", "version"), [(CANCUN, BLOB_PROOFS), (OSAKA, CELL_PROOFS)])
def test_what_is_missing_is_made_in_the_forks_form(fork: Fork, version: int) -> None:
    found = sidecar_of(CallRequest(blobs=(BLOB,)), fork)
    assert found == build_sidecar((BLOB,), version)
    assert sidecar_of(CallRequest(), fork) is None


def test_what_is_given_is_taken_when_it_holds(sidecar: BlobSidecar) -> None:
    request = CallRequest(
        blobs=(BLOB,),
        commitments=sidecar.commitments,
        proofs=sidecar.proofs,
        blob_hashes=(versioned_hash(sidecar.commitments[0]),),
    )
    assert sidecar_of(request, OSAKA) == sidecar
    # A proof for the whole blob, as it was before, is replaced by those of its cells.
    assert sidecar_of(replace(request, proofs=(WRONG,)), OSAKA) == sidecar


def test_parts_that_do_not_fit_are_refused_in_geths_words(sidecar: BlobSidecar) -> None:
    commitments, proofs = sidecar.commitments, sidecar.proofs
    assert _refusal(proofs=proofs) == "blob proofs provided while commitments were not"
    assert _refusal(commitments=commitments) == "blob commitments provided while proofs were not"
    two = {"commitments": commitments * 2, "proofs": proofs}
    assert _refusal(**two) == "number of blobs and commitments mismatch (have=2, want=1)"
    few = {"commitments": commitments, "proofs": proofs[:3]}
    assert _refusal(**few) == "number of blobs and proofs mismatch (have=3, want=128)"
    hashes = (versioned_hash(WRONG),)
    assert _refusal(blob_hashes=hashes * 2) == (
        "number of blobs and hashes mismatch (have=2, want=1)"
    )
    right = versioned_hash(commitments[0])
    assert _refusal(blob_hashes=hashes) == (
        f"blob hash verification failed (have=0x{hashes[0].hex()}, want=0x{right.hex()})"
    )


def test_proofs_that_do_not_hold_are_refused(sidecar: BlobSidecar) -> None:
    other = (*sidecar.commitments, *sidecar.proofs[1:])
    told = _refusal(commitments=sidecar.commitments, proofs=other)
    assert told.startswith("failed to verify blob proof")


def test_a_blob_of_too_large_numbers_is_named() -> None:
    assert _refusal(blobs=(BLOB, b"\xff" * 131_072)).startswith(
        "blobs[1]: error computing commitment: scalar is not canonical"
    )
