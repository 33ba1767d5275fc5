"""The ledger for people and spreadsheets: summaries, tables, pages and plots. Nothing here decides."""
