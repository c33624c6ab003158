"""The ledger: what the topics say, as SQL tables, for the console, for reports and for whoever asks with a query.

Every row comes from a committed record, and the position behind that record is stored in the same database transaction. So a
ledger is right up to its positions at any moment, and can be thrown away and made again. The tables: docs/ledger.md.
"""
