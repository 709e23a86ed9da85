"""Runbook 3.2 from the other side: the hubs' own clients download from what the agent downloads from."""
import models


def run(checks, _, work):
    models.run_clients(checks, work)
