"""The Web App: its image, and whether it may pull it and read its key."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deployment import key_vault
from deployment.registry import assign, check_pull
from deployment.target import Deployed
from environment_setup.azure_cli import AzureError, az, setting, text

API = "2024-11-01"
SUBSCRIPTION = "/subscriptions/{subscriptionId}"  # `az rest` puts in the one that is chosen
IMAGE = "DOCKER|"  # what App Service writes before the name of an image
NO_MODEL = "/no-model:yet"  # what the infrastructure sets, since an app must have an image
SETTING = "SCORING_KEYS"


@contextmanager
def opened() -> Iterator["WebApp"]:
    """Give the app of the variable group, or say how it is made."""
    name, group = setting("WEBAPP_DEPLOYMENT_NAME"), setting("RESOURCE_GROUP")
    try:  # to list what a group holds, `az` reads the group, for which a role on the app is not enough
        site = ask(f"{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Web/sites/{name}")
    except AzureError as error:
        if not re.search(r"\bResource(Group)?NotFound\b", str(error)):
            raise
        mend = f"az pipelines run --name {setting('PROJECT')}-infrastructure-create"
        raise AzureError(f"There is no Web App {name} in {group}: `{mend}` makes it.") from error
    yield WebApp(site)


def ask(app_id: str, path: str = "", method: str = "get", body: dict[str, Any] | None = None) -> Any:
    """Ask Azure Resource Manager about an app, in the words of one version of its API."""
    sent = ["--body", json.dumps(body)] if body else []
    return az("rest", "--method", method, "--url", f"{app_id}{path}?api-version={API}", *sent)


class WebApp:
    """A Web App of one container. Its settings are the infrastructure's, and no part of a release."""

    name = "web-app"

    def __init__(self, site: dict[str, Any]) -> None:
        self.id, self.shown = site["id"], site["properties"]["defaultHostName"]
        self.project = (site.get("tags") or {}).get("project")
        self.identity: str = (site.get("identity") or {}).get("principalId", "")

    def address(self) -> str:
        return f"https://{self.shown}"

    def read(self) -> Deployed | None:
        found: str = self.ask("/config/web")["properties"].get("linuxFxVersion") or ""
        if not found.startswith(IMAGE):
            raise AzureError(
                f"{self.shown} is no app of one container but of {found or 'nothing'}: delete it, and "
                f"`az pipelines run --name {setting('PROJECT')}-infrastructure-create` makes it anew."
            )
        return None if found.endswith(NO_MODEL) else Deployed(found.removeprefix(IMAGE))

    def wanted(self, image: str) -> Deployed:
        return Deployed(image)

    def put(self, deployed: Deployed) -> None:
        """Azure starts the container, and then stops the former one."""
        self.ask("/config/web", "patch", {"properties": {"linuxFxVersion": f"{IMAGE}{deployed.image}"}})

    def remove(self) -> None:
        self.put(Deployed(f"{setting('BASE_NAME').lower()}amlcr.azurecr.io{NO_MODEL}"))

    def log(self) -> str:
        return text("rest", "--method", "post", "--url", f"{self.id}/containerlogs?api-version={API}")

    def ask(self, path: str, method: str = "get", body: dict[str, Any] | None = None) -> Any:
        return ask(self.id, path, method, body)

    def check(self, image: str) -> None:
        """Raise whose app it is, or what it lacks to pull by its own identity and to read the keys of its callers."""
        if self.project not in (None, setting("PROJECT")):
            raise AzureError(f"{self.shown} is of project {self.project}: name another in WEBAPP_DEPLOYMENT_NAME.")
        if not self.identity:
            raise AzureError(f"{self.shown} has no identity: `az webapp identity assign --ids {self.id}` gives one.")
        if not self.ask("/config/web")["properties"].get("acrUseManagedIdentityCreds"):
            mend = f"az resource update --ids {self.id}/config/web --set properties.acrUseManagedIdentityCreds=true"
            raise AzureError(f"{self.shown} does not pull by its identity: `{mend}` has it do so.")
        check_pull(self.shown, self.identity, image)
        self.check_keys()

    def check_keys(self) -> None:
        vault, secret = key_vault.vault(), key_vault.KEYS
        reference = f"@Microsoft.KeyVault(VaultName={vault};SecretName={secret})"
        settings = self.ask("/config/appsettings/list", "post")["properties"]
        if settings.get(SETTING, "") != reference:
            mend = f'az webapp config appsettings set --ids {self.id} --settings "{SETTING}={reference}" --output none'
            told = f"{SETTING} of {self.shown} is no reference to {secret} of {vault}"
            raise AzureError(f"{told}: `{mend}` makes it one.")
        scope = f"{self.id.partition('/providers/')[0]}/providers/Microsoft.KeyVault/vaults/{vault}/secrets/{secret}"
        remedies = {  # by what App Service says of a reference that it could not follow
            "AccessToKeyVaultDenied": assign("Key Vault Secrets User", self.identity, scope),
            "MSINotEnabled": f"az webapp identity assign --ids {self.id}",
            "SecretNotFound": key_vault.new_keys(),
            "VaultNotFound": f"az keyvault list --query \"[?name=='{vault}']\"",
        }
        if remedy := remedies.get(status := self.key_status()):
            told = f"{self.shown} cannot read the secret {secret} of {vault} ({status})"
            raise AzureError(f"{told}: `{remedy}` mends it.")

    def key_status(self) -> str:
        """Return how following the reference went. Azure remembers a failure for a day, so it is asked anew."""
        of_setting = f"/config/configreferences/appsettings/{SETTING}"
        status: str = self.ask(of_setting)["properties"]["status"]
        if status != "Resolved":
            self.ask("/config/configreferences/appsettings/refresh", "post")
            status = self.ask(of_setting)["properties"]["status"]
        return status
