"""prefect.yaml: what it deploys, and where a worker finds the code."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import fastapi
import pytest
import yaml
from prefect import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.deployments.steps.core import run_steps
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import PREFECT_API_URL

ROOT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS = CONFIG["deployments"]


def test_every_job_has_a_placed_deployment_and_two_twins():
    by_job = {}
    for deployment in DEPLOYMENTS:
        by_job.setdefault(deployment["entrypoint"], {})[deployment["name"]] = deployment
    assert len(DEPLOYMENTS) == 9
    assert len(by_job) == len(list((ROOT / "flows").glob("*.py"))) == 3
    for entrypoint, twins in by_job.items():
        assert list(twins) == ["carbon", "fast", "eco"]
        assert all(twin["work_pool"]["name"] == name for name, twin in twins.items())
        assert set(twins["carbon"]["work_pool"]["job_variables"]) == {
            "urgency",
            "finish_within",
            "expected_duration",
        }
        assert load_flow_from_entrypoint(str(ROOT / entrypoint)).fn.__name__ == entrypoint.partition(":")[2]


def test_flows_is_no_package():
    assert not (ROOT / "flows" / "__init__.py").exists()


def test_importing_the_jobs_is_quick():
    script = (
        "import sys, prefect, prefect.artifacts; before = set(sys.modules)\n"
        "import train_classifier, batch_inference, analytics_report\n"
        "print({name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT / "flows", capture_output=True, text=True, check=True
    ).stdout
    assert not {"sklearn", "pandas", "numpy", "scipy", "joblib"} & eval(loaded)


def pulled_folder(monkeypatch, deployed_from):
    """Run the pull steps as a worker does that was deployed to from the given folder."""
    from prefect.utilities.templating import apply_values

    monkeypatch.setenv("PWD", str(deployed_from))
    steps = apply_values(CONFIG["pull"], {}, remove_notset=False)  # as `prefect deploy` does
    monkeypatch.setenv("PWD", "/nowhere")
    return asyncio.run(run_steps(steps))["directory"]


def test_a_worker_finds_the_code_where_it_was_deployed_from(monkeypatch, tmp_path):
    folder = tmp_path / "a project"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CARBON_JOBS_DIR", raising=False)
    assert pulled_folder(monkeypatch, folder) == str(folder)


def test_an_image_says_where_the_code_is(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CARBON_JOBS_DIR", str(tmp_path))
    assert pulled_folder(monkeypatch, "/only/on/the/laptop") == str(tmp_path)


@pytest.mark.server
@pytest.mark.skipif(
    tuple(map(int, fastapi.__version__.split(".")[:2])) >= (0, 151),
    reason="fastapi 0.151 and later refuse a null limit, so `prefect deploy` of Prefect 3.8 ends with a 422",
)
def test_prefect_deploys_it_all():
    with get_client(sync_client=True) as client:
        for pool in ("carbon", "fast", "eco"):
            client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        deployed = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
            cwd=ROOT,
            env=os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value(), "PWD": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert deployed.returncode == 0, deployed.stdout
        names = {
            f"{flow}/{pool}": client.read_deployment_by_name(f"{flow}/{pool}")
            for flow in ("train-classifier", "batch-inference", "analytics-report")
            for pool in ("carbon", "fast", "eco")
        }
    assert all(deployment.work_pool_name == name.partition("/")[2] for name, deployment in names.items())
    assert names["train-classifier/carbon"].job_variables == {
        "urgency": "flexible",
        "finish_within": "12h",
        "expected_duration": "45m",
    }
    assert [s.active for s in names["analytics-report/carbon"].schedules] == [False]
    assert [name for name, deployment in names.items() if deployment.schedules] == ["analytics-report/carbon"]
