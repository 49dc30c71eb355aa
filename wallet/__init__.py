"""The wallet: keys at rest, signatures, and transactions sent through a node's JSON-RPC.

    mnemonic -> hd (chain.crypto) -> private key -> key_folder (keystore files)
    key_folder -> signer -> transfers -> client -> node

It imports `chain` only: the bytes it signs are made by the code that checks them.
"""
