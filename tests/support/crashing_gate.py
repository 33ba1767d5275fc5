"""A gate with something that happens to it: `after module:name` dies right after that function's call.

`fault lost-reply` lets the reply to the creation of the job's run get lost, once, after the server has acted;
`fault no-reply` lets it get lost as often as it is asked for.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import httpx

# Started as a script: what stands beside it is found by its bare name.
from dying import die

from carbon_policy.orchestration import gate, placement


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
        die("after", what, 3)
    else:
        lose_reply({"lost-reply": 1, "no-reply": math.inf}[what])
    sys.exit(gate.main())
