"""Settles what the provider's documentation leaves open, with a real key (docs/provider.md).

    python -m ops.probe --key-file FILE [--paid --receiver URL] [--report FILE] [--again FILE]

`steps` calls the provider and writes what it saw into `state`, `conclusions` reads that, `report`
writes both down without secrets, by `redact`.
"""
