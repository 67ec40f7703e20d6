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
    fields: ClassVar[dict[str, str]] = {
        "auth_enabled": "authEnabled",
        "enable_app_insights": "appInsightsEnabled",
        "ssl_enabled": "sslEnabled",
        "ssl_cname": "cname",
    }

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

    @classmethod
    def changes_to(cls, described: dict[str, Any]) -> dict[str, Any]:
        """Leave out the name of a certificate that is not in use."""
        found = super().changes_to(described)
        return {name: value for name, value in found.items() if name != "ssl_cname" or found.get("ssl_enabled")}
