"""CodeCarbon around a job: what was measured, what was modelled, always labelled."""
