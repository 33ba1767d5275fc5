"""The command of a process pool: found by the worker's own interpreter, wherever the worker was started."""

from __future__ import annotations

from prefect.utilities.processutils import command_to_string

PYTHON_VARIABLE = "CARBON_POLICY_PYTHON"
"""Environment variable of a worker that names the interpreter to use, should the worker's own not be found."""

# A literal in a template cannot name the interpreter of a worker on another machine, and a worker that was started
# as `.venv/bin/prefect worker start` has another `python` on its PATH, or none. But it is the parent of what it
# starts, and its command line begins with its interpreter. Without /proc (macOS) it is the PATH's `python`.
_FIND_PYTHON = (
    'worker=$({ tr "\\0" "\\n" </proc/$PPID/cmdline | head -n 1; } 2>/dev/null); '
    f"python=${{{PYTHON_VARIABLE}:-${{worker:-python}}}}; "
)


def process_command(script: str) -> str:
    """A command for a process pool's template, which no placeholder and so no job variable can change.

    Args:
        script: What to start, in the words of a POSIX shell; `$python` is the worker's interpreter. It ends with
            `exec`, so that a cancellation reaches what it started.
    """
    return command_to_string(["sh", "-c", _FIND_PYTHON + script])
