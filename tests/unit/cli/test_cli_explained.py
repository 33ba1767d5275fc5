from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO

from rich.console import Console

from carbon_policy.cli.explained import decision_view
from carbon_policy.domain.chain import ChainStep
from carbon_policy.domain.decision import Evidence
from carbon_policy.domain.finding import Finding, FindingKind, Treatment
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.site import Site, Tier
from carbon_policy.policies.decide import decide
from tests.unit.cli.conftest import wave

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
FINDING = Finding(
    kind=FindingKind.STALE, treatment=Treatment.REFUSED, source="neso", sentence="it was issued a day ago."
)


def test_the_step_and_each_finding_are_shown_once() -> None:
    evidence = Evidence(
        job="1",
        now=NOW,
        submitted_at=NOW,
        spec=JobSpec(
            urgency="flexible", finish_within=timedelta(hours=12), expected_duration=timedelta(hours=1)
        ),
        sites=(Site(name="fast", work_pool="fast", tier=Tier.FAST, zone="DE", power_w=300),),
        outlook={"DE": wave(NOW, 96, issued_at=NOW)},
        steps={"DE": ChainStep.OWN_FORECAST},
        findings=(FINDING,),
        notes=("Site eco was left out.",),
    )
    console = Console(width=120, record=True, file=StringIO())
    console.print(decision_view(decide(evidence), "train/nightly", "the gate", 120))
    shown = console.export_text()
    assert shown.count("it was issued a day ago") == 1
    assert "stale, refused: neso: it was issued a day ago." in shown
    assert "note: Site eco was left out." in shown
    assert "found at step own-forecast: no live source answers" in shown
