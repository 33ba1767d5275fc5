"""A gate with something that happens to it: `after module:name` dies right after that function's call.

`fault lost-reply` lets the reply to the creation of the job's run get lost, once, after the server has acted;
`fault no-reply` lets it get lost as often as it is asked for.
"""

from __future__ import annotations

import math
import os
import sys
from functools import wraps
from importlib import import_module
from typing import Any

import httpx

from carbon_policy.orchestration import gate, placement


def die_after(where: str) -> None:
    """Let a function do its work, and be gone, as by `kill -9`."""
    module, _, path = where.partition(":")
    owner: Any = import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, name)

    @wraps(original)
    def and_die(*args: Any, **kwargs: Any) -> Any:
        original(*args, **kwargs)
        os._exit(3)

    setattr(owner, name, and_die)


def lose_reply(times: float) -> None:
    """The server creates the job's run, and the client does not hear of it."""
    original = httpx.Client.send
    lost = 0

    def send(self: httpx.Client, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        nonlocal lost
        response = original(self, request, **kwargs)
        if lost < times and request.method == "POST" and request.url.path.endswith("/create_flow_run"):
            lost += 1
            raise httpx.ReadTimeout("the reply got lost", request=request)
        return response

    httpx.Client.send = send  # type: ignore[method-assign]


if __name__ == "__main__":
    kind, what = sys.argv[1:3]
    assert placement  # Imported before it is patched.
    if kind == "after":
        die_after(what)
    else:
        lose_reply({"lost-reply": 1, "no-reply": math.inf}[what])
    sys.exit(gate.main())
