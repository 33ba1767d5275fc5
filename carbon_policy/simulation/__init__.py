"""Any policy over any jobs and any trace, beside its peers and the oracle. Pure."""
