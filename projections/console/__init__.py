"""The console: web pages over the ledger for the people who get the phone calls.

What it shows and how it is guarded: docs/console.md."""
