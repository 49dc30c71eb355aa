"""Hashes, signatures and keys.

    keccak       keccak-256, singly and in batches
    secp256k1    sign, verify, recover; the address of a key
    hd           keys derived from a phrase
    batch        compiled loops behind the batches (docs/decisions/0002)

Every batch has a plain form that says what it means and serves where nothing can be compiled.
"""
