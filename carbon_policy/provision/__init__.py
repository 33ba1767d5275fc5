"""Sites as code: work pools, blocks and deployments from a project's YAML files onto a Prefect server."""
