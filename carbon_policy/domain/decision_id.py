"""The name of a decision: the same decision from the same outlooks has the same one, on every machine."""

from __future__ import annotations

import hashlib
import json

from carbon_policy.domain.decision import Decision


def decision_id(decision: Decision) -> str:
    """Sixteen hex digits that name what was decided, of which run, when, and from which outlooks.

    A log line, an artifact and a label that bear it speak of one decision. Who decides again from the same
    evidence, as after a crash, finds the same id.
    """
    evidence = decision.evidence
    said = {
        "job": evidence.job,
        "now": evidence.now.isoformat(),
        "action": decision.action.value,
        "reason": decision.reason.value,
        "site": decision.site,
        "start": decision.start.isoformat(),
        "outlooks": {zone: series.fingerprint for zone, series in evidence.outlook.items()},
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]
