"""Prefect: the decorator, the policy task, the gate flow, deferral and twins."""
