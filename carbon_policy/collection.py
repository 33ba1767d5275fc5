"""What Prefect imports of us when it looks for block types: only that, as it does so at many a start."""

import carbon_policy.grid.builtin
import carbon_policy.orchestration.blocks
import carbon_policy.worker.worker  # noqa: F401
