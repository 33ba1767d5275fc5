from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser

from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.report.html import to_html
from carbon_policy.report.plot import day_plot_html, plotted_jobs
from carbon_policy.report.summary import summarise


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text outside scripts and styles."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._hidden = ""
        self.feed(source)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._hidden = tag if tag in ("script", "style") else ""

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self._hidden = ""
        self.text += " " if tag in ("td", "th") else ""

    @property
    def links(self) -> list[str]:
        return [
            value or "" for _, attrs in self.tags for name, value in attrs.items() if name in ("src", "href")
        ]


def page(entries: list[LedgerEntry], plot_html: str | None = None) -> Page:
    return Page(to_html(entries, summarise(entries), plot_html))


def test_the_page_says_what_was_saved_and_how_each_number_was_made(
    entries: list[LedgerEntry], series: IntensitySeries
) -> None:
    shown = page(entries)
    assert (
        "3 jobs emitted 511 g; at once on fast they would have emitted 540 g. Saved 28.8 g (5.3 %)."
        in shown.text
    )
    assert "252 g at once on fast − 122.4 g emitted = 129.6 g saved; predicted 150 g" in shown.text
    assert "0.36 180 64.8" in shown.text
    assert "Waited for noon." in shown.text
    assert f"Decided on {series.fingerprint}: energy-charts for DE" in shown.text
    assert "average signal" in shown.text
    assert "life-cycle factors" in shown.text
    assert "−101 g" in shown.text
    assert "this job is in no sum" in shown.text
    assert sum(tag == "details" for tag, _ in shown.tags) == 4


def test_a_row_says_how_a_job_ended_that_did_not_complete(entries: list[LedgerEntry]) -> None:
    assert page(entries).text.count("failed") == 2  # In its row, and where its numbers are explained.
    assert "completed" not in page(entries[:2]).text


def test_it_needs_nothing_from_elsewhere(entries: list[LedgerEntry], series: IntensitySeries) -> None:
    shown = page(entries, day_plot_html(series, plotted_jobs(entries), "A day"))
    assert any(tag == "script" for tag, _ in shown.tags)
    assert [link for link in shown.links if not link.startswith(("#", "data:"))] == []
    assert not any(tag == "link" for tag, _ in shown.tags)


def test_no_text_of_an_entry_is_executed(
    make_entry: Callable[..., LedgerEntry], series: IntensitySeries
) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    texts = {
        name: evil
        for name, field in LedgerEntry.model_fields.items()
        if field.annotation is str and name not in ("flow", "tier")
    }
    entry = make_entry(evil, due=2, start=11, deployment=evil, gate_run_id=evil, notes=(evil,), **texts)
    shown = page([entry])
    assert not any(tag in ("script", "img") for tag, _ in shown.tags)
    assert evil in shown.text

    plot = Page(day_plot_html(series, plotted_jobs([entry]), evil, licence=evil))
    assert not any(tag == "img" for tag, _ in plot.tags)
    assert "alert(1)" not in plot.text


def test_a_simulated_grid_has_a_banner(make_entry: Callable[..., LedgerEntry]) -> None:
    real, simulated = make_entry("a", due=2, start=11), make_entry("b", due=2, start=11, simulated=True)
    assert "Simulated grid. 50.0 % of these jobs" in page([real, simulated]).text
    assert "Simulated grid." not in page([real]).text


def test_kinds_are_apart(make_entry: Callable[..., LedgerEntry]) -> None:
    shown = page([make_entry("a", due=2, start=11), make_entry("b", due=2, start=11, signal="marginal")])
    assert shown.text.count("1 job emitted 122 g") == 2
    assert "245 g" not in shown.text


def test_a_decision_that_cannot_be_read_is_said_to_be_missing(make_entry: Callable[..., LedgerEntry]) -> None:
    assert "evidence is not stored" in page([make_entry("a", due=2, start=11, decision_json="{}")]).text


def test_an_empty_ledger_is_a_page_too() -> None:
    assert "no jobs yet" in page([]).text
