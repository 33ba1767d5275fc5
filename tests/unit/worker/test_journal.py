"""What a carbon worker logs."""

from __future__ import annotations

import json
import logging
import shlex
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.logging.loggers import PrefectLogAdapter

from carbon_policy.domain.decision import Action
from carbon_policy.domain.decision_id import decision_id
from carbon_policy.worker.journal import EXTRA, Journal, LoggedRun, logfmt
from tests.unit.worker.decided import LATER, NOW, deferral

RUN = LoggedRun(UUID(int=1), "wandering-otter", "train/nightly")
JOB = UUID(int=2)
ABOUT = f"run={UUID(int=1)} name=wandering-otter deployment=train/nightly"


@pytest.fixture
def journal(caplog: pytest.LogCaptureFixture) -> Journal:
    caplog.set_level(logging.INFO, "tests.worker")
    return Journal(logging.getLogger("tests.worker"))


def only(caplog: pytest.LogCaptureFixture) -> tuple[str, dict[str, Any], int]:
    (record,) = caplog.records
    fields = getattr(record, EXTRA)
    assert json.loads(json.dumps(fields)) == fields
    assert record.getMessage() == logfmt(fields)
    return record.getMessage(), fields, record.levelno


def test_a_decision_is_one_line_with_the_same_fields_as_data(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    decision = deferral(12.3)
    journal.decided(RUN, decision)
    line, fields, level = only(caplog)
    assert line == (
        f"decision={decision_id(decision)} {ABOUT} action=defer reason=greener-later site=fast"
        " start=2026-11-22T21:00:00Z saving_gco2=12.3"
    )
    assert fields["saving_gco2"] == decision.predicted_saving_gco2
    assert level == logging.INFO


def test_what_is_not_known_is_not_there(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    journal.decided(LoggedRun(UUID(int=1), "otter"), deferral(action=Action.SKIP, site=None, chosen=None))
    line, fields, _ = only(caplog)
    assert {"deployment", "site", "saving_gco2"}.isdisjoint(fields)
    assert "None" not in line


def test_a_name_cannot_write_a_line_of_its_own(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    name = 'my "best" run\nevent=placed\x1b[31m\u2028a=b'
    journal.recovered(LoggedRun(UUID(int=1), name, "train/every night"), "gate-crashed")
    line, fields, _ = only(caplog)
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    assert fields["name"] == name
    assert 'deployment="train/every night"' in line
    quoted = line.split(" name=", 1)[1].rsplit(" deployment=", 1)[0]
    assert json.loads(quoted) == name


def test_values_are_quoted_only_where_they_must_be() -> None:
    assert logfmt({"a": "b/c@d", "n": 3, "empty": "", "eq": "x=y", "word": "größe", "back": "a\\b"}) == (
        'a=b/c@d n=3 empty="" eq="x=y" word=größe back="a\\\\b"'
    )
    assert logfmt({"tiny": 0.00001, "big": 1e9, "minus": -0.0, "less": -2.5}) == (
        "tiny=0.00001 big=1000000000 minus=0 less=-2.5"
    )


def test_a_percent_sign_is_no_placeholder(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    journal.recovered(LoggedRun(UUID(int=1), "100%s"), "gate-crashed")
    assert "name=100%s" in only(caplog)[0]


@pytest.mark.parametrize(
    ("write", "line"),
    [
        (
            lambda j: j.deferred(RUN, LATER, 2),
            f"event=deferred {ABOUT} until=2026-11-22T21:00:00Z deferrals=2",
        ),
        (lambda j: j.placed(RUN, JOB, "eco"), f"event=placed {ABOUT} job={JOB} site=eco"),
        (lambda j: j.mirrored(RUN, JOB, "Completed"), f"event=mirrored {ABOUT} job={JOB} state=Completed"),
        (lambda j: j.recovered(RUN, "wait-lost"), f"event=recovered {ABOUT} kind=wait-lost"),
        (
            lambda j: j.replanned(RUN, NOW, deferral()),
            f"event=replanned {ABOUT} before=2026-11-22T18:00:00Z decision={decision_id(deferral())} action=defer"
            " reason=greener-later site=fast start=2026-11-22T21:00:00Z saving_gco2=12.3",
        ),
    ],
    ids=["deferred", "placed", "mirrored", "recovered", "replanned"],
)
def test_each_happening_is_one_line(
    journal: Journal, caplog: pytest.LogCaptureFixture, write: Any, line: str
) -> None:
    write(journal)
    assert only(caplog)[0] == line


def test_an_error_is_a_warning_without_its_text(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    journal.api_failed("poll the work pool", httpx.ConnectError("http://admin:hunter2@prefect/api"))
    line, _, level = only(caplog)
    assert line == 'event=api-error doing="poll the work pool" kind=no-connection error=ConnectError'
    assert level == logging.WARNING
    caplog.clear()
    journal.api_failed("place a run", ValueError(), RUN)
    assert only(caplog)[0] == f'event=api-error {ABOUT} doing="place a run" kind=other error=ValueError'


def test_the_fields_pass_the_adapter_of_a_prefect_worker(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tests.worker")
    adapter = PrefectLogAdapter(logging.getLogger("tests.worker"), {"worker_name": "one"})
    Journal(adapter).placed(RUN, JOB, "eco")
    (record,) = caplog.records
    assert getattr(record, EXTRA)["site"] == "eco"
    assert record.worker_name == "one"  # type: ignore[attr-defined]


def test_a_line_can_be_read_back(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    journal.placed(LoggedRun(UUID(int=1), "a b", "train/nightly"), JOB, "eco")
    read = dict(part.split("=", 1) for part in shlex.split(only(caplog)[0]))
    assert read["name"] == "a b"
    assert read["site"] == "eco"
