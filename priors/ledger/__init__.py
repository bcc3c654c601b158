"""The claims ledger: what the report says and what was assumed beside it."""
