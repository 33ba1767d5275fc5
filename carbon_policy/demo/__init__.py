"""A whole Prefect of its own - server, pools, workers - that runs a day of jobs and leaves nothing behind."""
