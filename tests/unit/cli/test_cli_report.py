from __future__ import annotations

import pytest

from carbon_policy.cli.report import _say
from carbon_policy.orchestration.collect import Collected


def test_jobs_that_are_not_settled_are_counted_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    why = "decided on a real grid."
    _say(Collected(recorded=["a"], settled=2, unsettled={"a": why, "b": why, "c": "decided on another."}))
    said = " ".join(capsys.readouterr().err.split())
    assert "2 jobs are not settled: decided on a real grid." in said
    assert "1 job is not settled: decided on another." in said
