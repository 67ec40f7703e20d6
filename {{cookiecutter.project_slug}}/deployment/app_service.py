"""What Azure knows of the Web App: its image, and whether it may pull it and read its key."""

import json
import re
from typing import Any, NamedTuple

from environment_setup.azure_cli import AzureError, az, setting

API = "2024-11-01"
SUBSCRIPTION = "/subscriptions/{subscriptionId}"  # `az rest` puts in the one that is chosen
IMAGE = "DOCKER|"  # what App Service writes before the name of an image
SECRET, SETTING = "scoring-key", "SCORING_KEYS"
# learn.microsoft.com/azure/role-based-access-control/built-in-roles: AcrPull, AcrPush, Contributor, Owner, and the
# reader of repositories where rights are by repository
MAY_PULL = {
    "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    "8311e382-0749-4cb8-b61a-304f252e45ec",
    "b24988ac-6180-42a0-ab88-20f7382dd24c",
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
    "b93aa761-3e63-49ed-ac28-beffa264f7ac",
}


class App(NamedTuple):
    """A Web App: its resource id, its host, and the object id of its identity, if it has one."""

    id: str
    host: str
    identity: str | None


def ask(app_id: str, path: str = "", method: str = "get", body: dict[str, Any] | None = None) -> Any:
    """Ask Azure Resource Manager about an app, in the words of one version of its API."""
    sent = ["--body", json.dumps(body)] if body else []
    return az("rest", "--method", method, "--url", f"{app_id}{path}?api-version={API}", *sent)


def find() -> App:
    """Return the app of the variable group, or say how it is made."""
    name, group = setting("WEBAPP_DEPLOYMENT_NAME"), setting("RESOURCE_GROUP")
    try:  # to list what a group holds, `az` reads the group, for which a role on the app is not enough
        site = ask(f"{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Web/sites/{name}")
    except AzureError as error:
        if not re.search(r"\bResource(Group)?NotFound\b", str(error)):
            raise
        mend = f"az pipelines run --name {setting('PROJECT')}-infrastructure-create"
        raise AzureError(f"There is no Web App {name} in {group}: `{mend}` makes it.") from error
    identity = site.get("identity") or {}
    return App(site["id"], site["properties"]["defaultHostName"], identity.get("principalId"))


def image(app: App) -> str:
    """Return the image that the app is set to."""
    found: str = ask(app.id, "/config/web")["properties"].get("linuxFxVersion") or ""
    if not found.startswith(IMAGE):
        raise AzureError(
            f"{app.host} is no app of one container but of {found or 'nothing'}: delete it, and "
            f"`az pipelines run --name {setting('PROJECT')}-infrastructure-create` makes it anew."
        )
    return found.removeprefix(IMAGE)


def put(app: App, image: str) -> None:
    """Set the app to an image. Azure starts it, and then stops the former container."""
    ask(app.id, "/config/web", "patch", {"properties": {"linuxFxVersion": f"{IMAGE}{image}"}})


def check_pull(app: App, image: str) -> None:
    """Raise what the app lacks to pull from the registry by its own identity, with the command that mends it."""
    if not app.identity:
        mend = f"az webapp identity assign --ids {app.id}"
        raise AzureError(f"{app.host} has no identity of its own: `{mend}` gives one.")
    if not ask(app.id, "/config/web")["properties"].get("acrUseManagedIdentityCreds"):
        mend = f"az resource update --ids {app.id}/config/web --set properties.acrUseManagedIdentityCreds=true"
        raise AzureError(f"{app.host} does not pull by its identity: `{mend}` has it do so.")
    registry = az("acr", "show", "--name", image.partition(".")[0])["id"]
    roles = az(
        *("role", "assignment", "list", "--assignee-object-id", app.identity, "--scope", registry),
        *("--include-groups", "--include-inherited"),
        *("--fill-principal-name", "false", "--fill-role-definition-name", "false"),
    )
    if MAY_PULL & {one["roleDefinitionId"].rpartition("/")[2] for one in roles}:
        return
    mend = assign("AcrPull", app.identity, registry)
    if not roles:
        raise AzureError(f"{app.host} may not pull from {registry}: `{mend}` lets it.")
    print(f"warning: {app.host} has other roles at {registry}. If they do not let it pull, `{mend}` does.", flush=True)


def check_key(app: App, vault: str) -> None:
    """Raise why the app cannot read the keys it asks callers for, with the command that mends it."""
    reference = f"@Microsoft.KeyVault(VaultName={vault};SecretName={SECRET})"
    settings = ask(app.id, "/config/appsettings/list", "post")["properties"]
    if settings.get(SETTING, "") != reference:
        mend = f'az webapp config appsettings set --ids {app.id} --settings "{SETTING}={reference}" --output none'
        raise AzureError(f"{SETTING} of {app.host} is no reference to {SECRET} of {vault}: `{mend}` makes it one.")
    secret = f"{app.id.partition('/providers/')[0]}/providers/Microsoft.KeyVault/vaults/{vault}/secrets/{SECRET}"
    remedies = {  # by what App Service says of a reference that it could not follow
        "AccessToKeyVaultDenied": assign("Key Vault Secrets User", app.identity or "", secret),
        "MSINotEnabled": f"az webapp identity assign --ids {app.id}",
        "SecretNotFound": new_key(vault),
        "VaultNotFound": f"az keyvault list --query \"[?name=='{vault}']\"",
    }
    if remedy := remedies.get(status := key_status(app)):
        raise AzureError(f"{app.host} cannot read the secret {SECRET} of {vault} ({status}): `{remedy}` mends it.")


def key_status(app: App) -> str:
    """Return how following the reference to the keys went. Azure remembers a failure for a day, so it is asked anew."""
    of_setting = f"/config/configreferences/appsettings/{SETTING}"
    status: str = ask(app.id, of_setting)["properties"]["status"]
    if status != "Resolved":
        ask(app.id, "/config/configreferences/appsettings/refresh", "post")
        status = ask(app.id, of_setting)["properties"]["status"]
    return status


def new_key(vault: str) -> str:
    """Return the command that makes a key without showing it."""
    made = "python3 -c \"import secrets; print(secrets.token_urlsafe(32), end='')\""
    return f"{made} | az keyvault secret set --vault-name {vault} --name {SECRET} --file /dev/stdin --output none"


def assign(role: str, identity: str, scope: str) -> str:
    """Return the command that gives an identity a role. Whoever runs it must be allowed to."""
    whom = f"--assignee-object-id {identity} --assignee-principal-type ServicePrincipal"
    return f'az role assignment create --role "{role}" {whom} --scope "{scope}"'


def key(vault: str) -> str:
    """Return one of the keys, for the smoke test."""
    try:
        return str(az("keyvault", "secret", "show", "--vault-name", vault, "--name", SECRET)["value"]).split()[0]
    except IndexError:
        raise AzureError(f"The secret {SECRET} of {vault} is empty: `{new_key(vault)}` fills it.") from None
