"""The tests. Prefect reads its home when it is imported, so it is set here, before any test module is."""

import atexit
import os
import shutil
import tempfile

# No test may leave anything in the Prefect home of whoever runs it.
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="carbon-policy-tests-")
atexit.register(shutil.rmtree, os.environ["PREFECT_HOME"], ignore_errors=True)
