"""Kubernetes: replicas that follow the load, on a cluster that the workspace knows or is made to know."""

import logging
from typing import Any, ClassVar, Literal

from azureml.core import Workspace
from azureml.core.compute import AksCompute, ComputeTarget
from azureml.core.webservice import AksWebservice
from pydantic import BaseModel, Field, PositiveFloat, PositiveInt

from {{ cookiecutter.package_name }}.program import UserError

from .compute import check
from .service import STRICT, Certificate, Target, required, told, until_ended
from .settings import Settings

log = logging.getLogger(__name__)


class Label(BaseModel):
    """What the name of a cluster with Microsoft's certificate begins with."""

    model_config = STRICT

    label: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$")

    def arguments(self) -> dict[str, str]:
        return {"leaf_domain_label": self.label}


class Aks(Target):
    """What deployment/aks.yml says."""

    kind: ClassVar[str] = "AKS"
    fields: ClassVar[dict[str, str]] = {
        "auth_enabled": "authEnabled",
        "enable_app_insights": "appInsightsEnabled",
        "cpu_cores": "containerResourceRequirements/cpu",
        "memory_gb": "containerResourceRequirements/memoryInGB",
        "replica_max_concurrent_requests": "maxConcurrentRequestsPerContainer",
        "scoring_timeout_ms": "scoringTimeoutMs",
        "max_request_wait_time": "maxQueueWaitMs",
        "autoscale_enabled": "autoScaler/autoscaleEnabled",
        "autoscale_min_replicas": "autoScaler/minReplicas",
        "autoscale_max_replicas": "autoScaler/maxReplicas",
        "autoscale_target_utilization": "autoScaler/targetUtilization",
        "autoscale_refresh_seconds": "autoScaler/refreshPeriodInSeconds",
        "num_replicas": "numReplicas",
    }

    cpu_cores: PositiveFloat
    memory_gb: PositiveFloat
    replica_max_concurrent_requests: PositiveInt
    scoring_timeout_ms: PositiveInt
    max_request_wait_time: PositiveInt
    autoscale_min_replicas: PositiveInt
    autoscale_max_replicas: PositiveInt
    autoscale_target_utilization: int = Field(ge=1, le=100)
    autoscale_refresh_seconds: PositiveInt
    cluster_purpose: Literal["DevTest", "FastProd"]
    tls: Label | Certificate | None

    def service_name(self, settings: Settings) -> str:
        return required(settings, "aks_deployment_name")

    def compute(self, workspace: Workspace, settings: Settings) -> ComputeTarget:
        """Return the cluster. One that the workspace does not know yet is looked for in the resource group."""
        name = required(settings, "aks_compute_name")
        cluster = workspace.compute_targets.get(name) or self.attach(workspace, settings.resource_group, name)
        if not isinstance(cluster, AksCompute):
            raise UserError(
                f"Compute target {name} is of type {cluster.type}, not a Kubernetes cluster (AKS): "
                "give AKS_COMPUTE_NAME another name."
            )
        check(cluster, "AKS_COMPUTE_NAME")
        return cluster

    def attach(self, workspace: Workspace, group: str, name: str) -> AksCompute:
        """Make a cluster known to the workspace, which installs its front end there."""
        log.info("Attaching cluster %s of resource group %s to the workspace.", name, group)
        wanted = AksCompute.attach_configuration(group, name, cluster_purpose=self.cluster_purpose)
        if self.tls:
            wanted.enable_ssl(**self.tls.arguments())
        attached = ComputeTarget.attach(workspace, name, wanted)
        state, error, *_ = until_ended(attached._get_operation_state, self.minutes)
        attached.refresh_state()
        if state != "Succeeded":
            raise UserError(f"Cluster {name} of resource group {group} could not be attached: {told(error)}")
        return attached

    def configuration(self) -> Any:
        return AksWebservice.deploy_configuration(**self.changes())

    def changes(self) -> dict[str, Any]:
        own = self.model_dump(exclude={"minutes", "cluster_purpose", "tls"})
        return {"auth_enabled": True, "enable_app_insights": True, "autoscale_enabled": True, **own}

    @classmethod
    def changes_to(cls, described: dict[str, Any]) -> dict[str, Any]:
        """Leave out the number of replicas where it follows the load, and the load where it does not."""
        found = super().changes_to(described)
        load = [name for name in cls.model_fields if name.startswith("autoscale_")]
        unused = ["num_replicas"] if found.get("autoscale_enabled") else load
        return {name: value for name, value in found.items() if name not in unused}
