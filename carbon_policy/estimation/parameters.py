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
# Names of texts that may be secret. Short ones count as whole words: `pw` and `db_pw`, and not `power`.
_SECRET_NAME = re.compile(
    r"pass|pwd|secret|token|key|credential|auth|private|cookie|session|connection|webhook|jwt|bearer"
    r"|(?<![a-z])(pw|pat|pin|otp|dsn|conn)(?![a-z])",
    re.IGNORECASE,
)
# Names of numbers that may be: `max_tokens` and `num_keys` are amounts, and a `pin` is none.
_SECRET_NUMBER = re.compile(
    r"pass(word|wd|code|phrase)|pwd|secret|(?<![a-z])(pass|pw|pin|otp)(?![a-z])", re.IGNORECASE
)
# What is secret whatever the parameter is called: logins in addresses, keys, signatures and tokens, by the beginnings
# that their issuers publish. `sk-` begins `sk-learn` and the locale `sk-SK` as well.
_SECRET_TEXT = re.compile(
    r"://[^/\s]*@|\w:[^\s/@]+@(?!sha)|-----BEGIN"
    r"|(pass(w\w*|code|phrase)?|pwd|secret|token|key|sig(nature)?|credential|authorization)[\"']?\s*[=:]"
    r"|\bbearer\s|(?-i:\beyJ[\w-]+\.|\bAKIA\w)"
    r"|\b(gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|[rs]k_(live|test)_)\w|\bsk-([\w-]*\d|[\w-]{20})"
    r"|hooks\.slack\.com|\bwebhooks?[./]",
    re.IGNORECASE,
)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def plain_parameters(parameters: Mapping[str, Any]) -> dict[str, Scalar]:
    """The parameters that are numbers, short texts, true or false, by name; at most `MOST_PARAMETERS` of them.

    Lists, documents and long texts are left out, and so is what may be a secret: by its name (`api_key`) or by its
    look (`postgresql://user:password@host`). A number is one only by the name of a number that is (`pin`), and what
    is true or false is none.
    """
    kept = {
        name: value
        for name, value in sorted(parameters.items())
        if len(name) <= LONGEST_TEXT and _is_plain(value) and not _is_secret(name, value)
    }
    return dict(list(kept.items())[:MOST_PARAMETERS])


def _is_secret(name: str, value: Scalar) -> bool:
    words = _HUMP.sub("_", name)
    if isinstance(value, str):
        return bool(_SECRET_NAME.search(words) or _SECRET_TEXT.search(value))
    return not isinstance(value, bool) and bool(_SECRET_NUMBER.search(words))


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT
    # A number that no database column and no forest could hold is no amount of anything.
    return isinstance(value, bool | int | float) and abs(value) <= _LARGEST
