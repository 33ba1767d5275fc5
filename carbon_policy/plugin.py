"""The Prefect plugin: measures a placed job whose flow knows nothing of carbon.

A run that was placed carries `PREFECT_PLUGINS_ENABLED` in its environment, so that Prefect calls the hook below in the
job's process as soon as it is imported there. From then on a flow that is loaded is wrapped as if it were decorated;
the wrapping finds that the run was placed, and measures it. An image without carbon_policy has no such hook: its job
runs just the same, and its energy is estimated.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from prefect.plugins import HookContext, register_hook

MEASURE = "CARBON_POLICY_MEASURE"
"""Environment variable of a placed run's process: wrap the flow that it loads."""

ENTRY_POINT = "carbon-policy"
"""Our name among Prefect's plugins; a placed run allows this one alone."""


@register_hook
def setup_environment(*, ctx: HookContext) -> None:
    """Called by Prefect at the end of its own import; `None` changes no environment."""
    if os.environ.get(MEASURE):
        _wrap_loaded_flows(ctx)


def _wrap_loaded_flows(_ctx: HookContext) -> None:
    import prefect.flows

    original = prefect.flows.load_flow_from_entrypoint

    def load_and_wrap(*args: Any, **kwargs: Any) -> Any:
        flow: Any = original(*args, **kwargs)
        try:
            from carbon_policy.orchestration.decorator import CarbonFlow

            return flow if isinstance(flow, CarbonFlow) else CarbonFlow.wrap(flow, {})
        except Exception as error:
            # Never the job's problem: it runs unmeasured, and the ledger says that it was estimated.
            sys.stderr.write(f"carbon-policy cannot measure this run: {type(error).__name__}: {error}\n")
            return flow

    prefect.flows.load_flow_from_entrypoint = load_and_wrap
    # The engine may have taken the function by its name already.
    engine = sys.modules.get("prefect.flow_engine")
    if engine is not None:
        engine.load_flow_from_entrypoint = load_and_wrap  # type: ignore[attr-defined]
