"""The entry point: the commands, and what becomes of their errors."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from carbon_policy.cli import (
    apply,
    backfill,
    backtest,
    demo,
    doctor,
    explain,
    forecast,
    history,
    init,
    overdue,
    plan,
    refresh,
    release,
    replan,
    replay,
    report,
    simulate,
    zones,
)
from carbon_policy.cli.console import fail
from carbon_policy.domain.errors import CarbonPolicyError

_INTERRUPTED = 130
"""128 and the number of SIGINT, as shells count."""


class _Commands(TyperGroup):
    """The commands; an error that was meant for people ends the process with a sentence, not with a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(_INTERRUPTED) from None
        except CarbonPolicyError as error:
            if ctx.params.get("debug"):
                raise
            fail(str(error))
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if not asked:
        return
    from importlib.metadata import PackageNotFoundError, version

    for name in ("prefect-carbon-policy", "prefect"):
        try:
            typer.echo(f"{name} {version(name)}")
        except PackageNotFoundError:
            typer.echo(f"{name} is not installed")
    raise typer.Exit


@app.callback()
def carbon_policy(
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Show the versions and exit.", callback=_show_version, is_eager=True),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug", envvar="CARBON_POLICY_DEBUG", help="Show an error with the code that it came from."
        ),
    ] = False,
) -> None:
    """Runs AI jobs on Prefect when and where the grid is green.

    It talks to the Prefect server of PREFECT_API_URL.
    """


def _add(panel: str, *commands: Any) -> None:
    """Add commands, each the function that its module is named after, with the module's examples below its help."""
    for module in commands:
        name = module.__name__.rpartition(".")[2]
        examples = "\n".join(["[bold]Examples[/bold]", *(f"  {line}" for line in module.EXAMPLES)])
        app.command(name, rich_help_panel=panel, epilog=examples)(getattr(module, name))


_add("Set up", demo, init, apply, doctor)
_add("Ask", explain, plan, report)
_add("Before you switch it on", replay, simulate)
_add("Act", release, replan, overdue)
_add("The grid", forecast, history, zones, refresh, backfill, backtest)


def main() -> None:
    """The `carbon-policy` program."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets a question mark for it, and no traceback.
        getattr(stream, "reconfigure", lambda **_: None)(errors="replace")
    app(prog_name="carbon-policy")


if __name__ == "__main__":
    main()
