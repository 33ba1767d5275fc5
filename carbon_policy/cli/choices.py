"""Choices that more than one command offers."""

from __future__ import annotations

from enum import StrEnum


class Infrastructure(StrEnum):
    """What jobs run in."""

    AUTO = "auto"
    DOCKER = "docker"
    PROCESS = "process"
