"""Azure Container Instances: one container, for tests and little traffic."""

from typing import Any, ClassVar

from azureml.core import Workspace
from azureml.core.compute import ComputeTarget
from azureml.core.webservice import AciWebservice
from pydantic import PositiveFloat

from .service import Certificate, Target, required
from .settings import Settings


class Aci(Target):
    """What deployment/aci.yml says."""

    kind: ClassVar[str] = "ACI"

    cpu_cores: PositiveFloat
    memory_gb: PositiveFloat
    tls: Certificate | None

    def service_name(self, settings: Settings) -> str:
        return required(settings, "aci_deployment_name")

    def compute(self, workspace: Workspace, settings: Settings) -> ComputeTarget | None:
        return None

    def configuration(self) -> Any:
        return AciWebservice.deploy_configuration(self.cpu_cores, self.memory_gb, **self.changes())

    def changes(self) -> dict[str, Any]:
        """Cores and memory cannot be changed in place."""
        certificate = self.tls.arguments() if self.tls else {}
        return {"auth_enabled": True, "enable_app_insights": True, "ssl_enabled": bool(self.tls), **certificate}
