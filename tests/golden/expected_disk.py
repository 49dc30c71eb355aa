"""Digests of each table of the ledger that test_disk makes, by schema version."""

DIGESTS = (
    2,
    {
        "meta": "69c560f524986be1",
        "headers": "039743fc36af1b52",
        "heights": "55493361896ebe21",
        "bodies": "f95816b20359d4e8",
        "receipts": "b308a2d249236372",
        "senders": "96c0ee6c83fefeb7",
        "transactions": "26155eae01aa750b",
        "log_index": "a745a1b70462c750",
        "appearances": "8df51775a678a64a",
        "certificates": "8225e61bd37c9cc4",
        "records": "c77d2d0f9a3fad3f",
        "accounts": "9d6cee5254666756",
        "storage": "5c85b1ef224e6cb9",
        "codes": "190de487b4b920c3",
        "trie": "9bde755802eb0a47",
        "account_history": "4c00acc471946b79",
        "storage_history": "20f5179b172ccae3",
        "changed": "127c539489a506f6",
        "preimages": "688e09fb0a07fc08",
    },
)
