"""The only workspace there is."""

import uuid
from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class Workspace:
    """Its name, and the addresses that follow from it."""

    subscription: str = "00000000-0000-0000-0000-000000000000"
    group: str = "mlops-RG"
    name: str = "mlops-AML-WS"
    region: str = "eastus"
    tenant: str = "22222222-2222-2222-2222-222222222222"
    account: str = "emulatedstorage"
    default_container: str = "azureml-blobstore-emulated"

    @property
    def id(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, self.scope.lower()))

    @property
    def scope(self) -> str:
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{self.name}"
        )

    @property
    def api(self) -> str:
        return f"https://{self.region}.api.azureml.ms"

    @property
    def tracking_uri(self) -> str:
        return f"azureml://{self.region}.api.azureml.ms/mlflow/v2.0{self.scope}"

    def blob_url(self, key: str) -> str:
        """A blob's address with a signature in it, as the services hand them out."""
        account, _, rest = key.partition("/")
        return f"https://{account}.blob.core.windows.net/{quote(rest)}?sv=2024-11-04&sr=b&sig=emulated"
