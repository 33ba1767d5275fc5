"""One temporary Prefect server and one trained model for all tests of the jobs."""

import sys
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "flows"))  # the jobs are scripts, not a package


@pytest.fixture(scope="session", autouse=True)
def prefect_server():
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def trained(prefect_server, tmp_path_factory):
    """The metrics of an uninterrupted training with the default parameters."""
    from train_classifier import train_classifier

    return train_classifier(output_dir=str(tmp_path_factory.mktemp("trained")))


@pytest.fixture
def read_artifact():
    """Reads the newest artifact of a key, as the Prefect API holds it."""
    from prefect import get_client

    def read(key):
        with get_client(sync_client=True) as client:
            return client.request("GET", "/artifacts/{key}/latest", path_params={"key": key}).json()

    return read
