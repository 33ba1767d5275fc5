"""The report job: the numbers in the page are the table's, and the page needs no network."""

import json
import re
from pathlib import Path

import analytics_report as job
import pytest
from prefect.exceptions import ParameterTypeError
from sklearn import datasets


@pytest.mark.parametrize(("table", "groups"), [("breast_cancer", 2), ("diabetes", 4), ("wine", 3)])
def test_the_report_holds_the_real_numbers(table, groups, tmp_path, read_artifact):
    result = job.analytics_report(table=table, resamples=30, output_dir=str(tmp_path))

    headline, page = result["headline"], Path(result["report_path"]).read_text(encoding="utf-8")
    frame, _ = job.load_table.fn(table)
    shipped = getattr(datasets, f"load_{table}")(as_frame=True)
    assert (headline["rows"], headline["groups"]) == (len(shipped.data), groups)
    one, other = headline["strongest pair"].split(" / ")
    correlations = frame.corr()
    strongest = correlations.where(correlations.abs() < 0.999999).abs().max().max()
    assert headline["its correlation"].startswith(f"{correlations.loc[one, other]:.3f} (")
    assert abs(correlations.loc[one, other]) == pytest.approx(strongest)
    for value in headline.values():
        assert f"<b>{value}</b>" in page
    for name, column in frame.items():
        assert name in page
        assert f"<td>{column.median():,.4g}</td>" in page

    artifact = read_artifact("analytics-report")
    shown = {row["number"]: row["value"] for row in json.loads(artifact["data"])}
    assert shown == {name: str(value) for name, value in headline.items()}


def test_the_report_is_self_contained(tmp_path):
    path = job.analytics_report(resamples=5, output_dir=str(tmp_path))["report_path"]
    page = Path(path).read_text(encoding="utf-8")
    assert not re.search(r"https?:|//|src=|href=|url\(|@import|<script|<link", page)
    assert page.count("<rect") == job.STRONGEST


def test_the_target_of_diabetes_does_not_explain_itself():
    frame, groups = job.load_table.fn("diabetes")
    means, _, _ = job.analyse.fn(frame, groups, 5, 7)
    assert (
        means["spread"].idxmax() == groups.name == "progression"
    )  # trivially so: the headline leaves it out


def test_the_intervals_hold_the_correlations():
    frame, groups = job.load_table.fn("wine")
    means, quantiles, correlations = job.analyse.fn(frame, groups, 200, 7)
    assert ((correlations.low < correlations.r) & (correlations.r < correlations.high)).all()
    assert correlations.r.abs().is_monotonic_decreasing
    assert quantiles.loc["alcohol", 0.5] == frame["alcohol"].median()
    assert means.loc["alcohol", "class_0"] == pytest.approx(frame["alcohol"][groups == "class_0"].mean())


@pytest.mark.parametrize(("name", "value"), [("table", "passengers"), ("resamples", 0)])
def test_bad_parameters_are_refused(tmp_path, name, value):
    with pytest.raises(ParameterTypeError, match=f"{name}: "):
        job.analytics_report(**{name: value}, output_dir=str(tmp_path))
