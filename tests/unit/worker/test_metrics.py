"""What a carbon worker counts."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from carbon_policy.domain.decision import Action, Plan, ReasonCode
from carbon_policy.worker.metrics import Metrics
from tests.unit.worker.decided import LATER, NOW, deferral

HOW_TO = Path(__file__).resolve().parents[3] / "docs" / "how-to.md"


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"carbon_policy_{name}", labels)


def test_decisions_are_counted_by_action_and_reason() -> None:
    metrics = Metrics()
    metrics.decided(deferral())
    metrics.decided(deferral())
    metrics.decided(deferral(action=Action.RUN, reason=ReasonCode.GREENEST_NOW))
    assert value(metrics, "decisions_total", action="defer", reason="greener-later") == 2
    assert value(metrics, "decisions_total", action="run", reason="greenest-now") == 1


def test_a_saving_and_its_opposite_are_counted_apart() -> None:
    metrics = Metrics()
    metrics.decided(deferral(12.5))
    metrics.decided(deferral(-2.5))
    metrics.decided(deferral(None))
    assert value(metrics, "expected_saved_grams_total") == 12.5
    assert value(metrics, "expected_added_grams_total") == 2.5


@pytest.mark.parametrize(
    "evidence",
    [{"deferrals": 1}, {"plan": Plan(site="fast", start=LATER, decided_at=NOW)}, {"progress": 0.5}],
    ids=["deferred", "planned", "interrupted"],
)
def test_the_saving_of_a_run_is_counted_once(evidence: dict[str, object]) -> None:
    metrics = Metrics()
    metrics.decided(deferral(12.5))
    metrics.decided(deferral(12.5, evidence=evidence))
    assert value(metrics, "expected_saved_grams_total") == 12.5
    assert value(metrics, "decisions_total", action="defer", reason="greener-later") == 2


def test_gauges_say_what_was_said_last() -> None:
    metrics = Metrics()
    metrics.waiting(7)
    metrics.waiting(5)
    metrics.placed(2)
    metrics.polled(NOW)
    metrics.plans(True)
    assert value(metrics, "waiting_runs") == 5
    assert value(metrics, "placed_runs") == 2
    assert value(metrics, "last_poll_timestamp_seconds") == NOW.timestamp()
    assert value(metrics, "plans") == 1
    metrics.plans(False)
    assert value(metrics, "plans") == 0


def test_a_forecast_ages_until_a_newer_one_is_seen() -> None:
    clock = iter([100.0, 160.0, 200.0, 230.0]).__next__
    metrics = Metrics(clock=clock)
    metrics.outlook_seen("DE", NOW - timedelta(minutes=10), NOW)
    assert value(metrics, "forecast_age_seconds", zone="DE") == 660
    metrics.outlook_seen("DE", NOW, NOW)
    assert value(metrics, "forecast_age_seconds", zone="DE") == 30


def test_what_is_no_forecast_has_no_age() -> None:
    metrics = Metrics()
    metrics.outlook_seen("FR", None, NOW)
    metrics.outlook_seen("DE", NOW, NOW)
    metrics.outlook_seen("DE", None, NOW)
    assert value(metrics, "forecast_age_seconds", zone="DE") is None
    assert value(metrics, "forecast_age_seconds", zone="FR") is None


def test_errors_and_recovered_runs_are_counted_by_kind() -> None:
    metrics = Metrics()
    metrics.api_failed(httpx.ReadTimeout("late"))
    metrics.api_failed(OSError("anything"))
    metrics.recovered("gate-crashed")
    assert value(metrics, "api_errors_total", kind="timeout") == 1
    assert value(metrics, "api_errors_total", kind="other") == 1
    assert value(metrics, "recovered_runs_total", kind="gate-crashed") == 1


def test_a_pass_is_timed_even_where_it_fails() -> None:
    metrics = Metrics()
    with metrics.timed("place"), metrics.deciding():
        pass
    with pytest.raises(ValueError, match="broken"), metrics.timed("place"), metrics.deciding():
        raise ValueError("broken")
    assert value(metrics, "loop_seconds_count", loop="place") == 2
    assert value(metrics, "decision_seconds_count") == 2
    assert value(metrics, "loop_seconds_count", loop="mirror") == 0


def test_workers_in_one_process_do_not_meet() -> None:
    one, other = Metrics(), Metrics()
    one.waiting(3)
    assert value(other, "waiting_runs") == 0


def test_a_registry_can_be_given() -> None:
    registry = CollectorRegistry()
    Metrics(registry).waiting(3)
    assert b"carbon_policy_waiting_runs 3.0" in generate_latest(registry)


def test_every_metric_says_what_it_is_and_none_is_labelled_by_a_run() -> None:
    metrics = Metrics()
    metrics.decided(deferral())
    metrics.outlook_seen("DE", NOW, NOW)
    metrics.api_failed(OSError())
    metrics.recovered("gate-crashed")
    families = list(metrics.registry.collect())
    assert len(families) == 12
    for family in families:
        assert family.name.startswith("carbon_policy_")
        assert family.documentation.endswith(".")
    labels = {label for family in families for sample in family.samples for label in sample.labels}
    assert labels == {"action", "reason", "zone", "kind", "loop", "le"}


def test_the_documented_scrape_and_alerts_are_of_metrics_that_exist() -> None:
    section = HOW_TO.read_text(encoding="utf-8").split("## Watch a carbon worker\n")[1].split("\n## ")[0]
    blocks = [yaml.safe_load(text) for text in re.findall(r"```yml\n(.*?)```", section, re.DOTALL)]
    rules = [rule for block in blocks for group in block.get("groups", []) for rule in group["rules"]]
    assert len(rules) == 3
    assert any("scrape_configs" in block for block in blocks)
    known = {
        sample.name for family in Metrics().registry.collect() for sample in family.samples
    } | {f"{family.name}_total" for family in Metrics().registry.collect() if family.type == "counter"} | {
        family.name for family in Metrics().registry.collect() if family.type != "counter"
    }  # fmt: skip
    named = set(re.findall(r"\bcarbon_policy_\w+", section))
    assert named <= known, f"how-to.md names metrics that are not: {sorted(named - known)}"
    assert all(re.search(r"carbon_policy_\w+", rule["expr"]) for rule in rules)
