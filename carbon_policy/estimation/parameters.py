"""Which of a run's parameters are kept in the ledger and learnt from: plain values that are no secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from carbon_policy.domain.ledger import Scalar

MOST_PARAMETERS = 50
LONGEST_TEXT = 200
"""A longer text is no category of jobs, and the ledger is no store of data."""

_LARGEST = 10**15
_SECRET_NAME = re.compile(r"pass(word|wd|phrase)|pwd|secret|token|key|credential|auth|private", re.IGNORECASE)
# A URL that carries a user's password, or a signature, whatever the parameter is called.
_SECRET_TEXT = re.compile(r"://[^/\s]*@|-----BEGIN|[?&](sig|signature|token|key)=", re.IGNORECASE)


def plain_parameters(parameters: Mapping[str, Any]) -> dict[str, Scalar]:
    """The parameters that are numbers, short texts, true or false, by name; at most `MOST_PARAMETERS` of them.

    Lists, documents and long texts are left out, and so is what may be a secret: by its name (`api_key`) or by its
    look (`postgresql://user:password@host`).
    """
    kept = {
        name: value
        for name, value in sorted(parameters.items())
        if len(name) <= LONGEST_TEXT and not _SECRET_NAME.search(name) and _is_plain(value)
    }
    return dict(list(kept.items())[:MOST_PARAMETERS])


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT and not _SECRET_TEXT.search(value)
    # A number that no database column and no forest could hold is no amount of anything.
    return isinstance(value, bool | int | float) and abs(value) <= _LARGEST
