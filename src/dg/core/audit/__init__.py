"""The audit log: the ledger as an auditor reads it."""
