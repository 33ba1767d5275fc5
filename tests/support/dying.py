"""A process that is gone at a step of its work, as by `kill -9`."""

from __future__ import annotations

import os
from functools import wraps
from importlib import import_module
from typing import Any


def die(how: str, where: str, exit_code: int) -> None:
    """Be gone before or after a function did its work.

    Args:
        how: `before` or `after`.
        where: `module:name`, or `module:Class.name`.
        exit_code: Of the process.
    """
    assert how in ("before", "after"), how
    module, _, path = where.partition(":")
    owner: Any = import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, name)

    @wraps(original)
    def and_die(*args: Any, **kwargs: Any) -> Any:
        try:
            if how == "after":
                original(*args, **kwargs)
        finally:
            os._exit(exit_code)

    setattr(owner, name, and_die)
