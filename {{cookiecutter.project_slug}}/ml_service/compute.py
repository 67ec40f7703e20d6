"""The cluster that training runs on. As a program: make sure that it is there."""

import logging
import time

from azureml.core import ComputeTarget, Workspace
from azureml.core.compute import AmlCompute

from {{ cookiecutter.package_name }}.program import UserError

from . import settings
from .program import parser, persist, program
from .settings import AzureSettings
from .workspace import get_workspace

log = logging.getLogger(__name__)
CHANGING = ("Creating", "Updating", "Resizing")
MINUTES = 10
EVERY = 10.0  # seconds at most between looks


def get_compute(workspace: Workspace, settings: AzureSettings) -> AmlCompute:
    """Return the cluster of this name, or create it. What has that name and is no cluster is refused."""
    found = workspace.compute_targets.get(settings.compute_name)
    if found is None:
        return create(workspace, settings)
    if not isinstance(found, AmlCompute):
        told = f"Compute target {found.name} is of type {found.type}, not a cluster (AmlCompute)"
        raise UserError(f"{told}: give COMPUTE_NAME another name.")
    check(found)
    return found


def create(workspace: Workspace, settings: AzureSettings) -> AmlCompute:
    """Create the cluster, and wait until it is there. Nodes start when there is something to run."""
    configuration = AmlCompute.provisioning_configuration(
        vm_size=settings.compute_size,
        vm_priority=settings.compute_priority,
        min_nodes=settings.compute_min_nodes,
        max_nodes=settings.compute_max_nodes,
        idle_seconds_before_scaledown=settings.compute_idle_seconds,
        identity_type="SystemAssigned",  # with which nodes pull images from a registry that has no admin user
    )
    created = ComputeTarget.create(workspace, settings.compute_name, configuration)
    check(created)
    return created


def check(compute: ComputeTarget) -> None:
    """Wait while the cluster is made or changed, whoever began that, and raise unless it can be used then."""
    began = time.monotonic()
    while compute.provisioning_state in CHANGING:
        passed = time.monotonic() - began
        if passed > 60 * MINUTES:
            told = f"Cluster {compute.name} is {compute.provisioning_state} for {MINUTES} minutes"
            raise UserError(f"{told}: see in the studio how it goes, and run this again.")
        time.sleep(min(EVERY, 1 + passed / 10))
        persist(compute.refresh_state)
    if compute.provisioning_state != "Succeeded":
        told = f"Cluster {compute.name} is {compute.provisioning_state}: {compute.provisioning_errors}."
        raise UserError(f"{told} Delete it, or give COMPUTE_NAME another name.")


def main() -> None:
    arguments = parser(__doc__).parse_args()
    with program(arguments.debug):
        chosen = settings.read_azure()
        compute = persist(lambda: get_compute(get_workspace(chosen), chosen))
        nodes = compute.scale_settings.maximum_node_count
        log.info("Cluster %s: %s, %s nodes at most.", compute.name, compute.vm_size, nodes)


if __name__ == "__main__":
    main()
