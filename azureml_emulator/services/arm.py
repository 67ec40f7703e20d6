"""Azure Resource Manager: the subscription, the workspace, and where its services are."""

from typing import Any

from ..routes import API, ARM, Request, page, route
from ..state import State
from ..storage import new_id, now

SERVICES = [
    "api",
    "catalog",
    "dataset",
    "datastore",
    "experimentation",
    "gallery",
    "history",
    "hyperdrive",
    "metric",
    "mlflow",
    "modelmanagement",
    "pipelines",
]


@route("GET", ARM, "/subscriptions")
def list_subscriptions(state: State, request: Request) -> Any:
    """Answer azureml.core.authentication._get_subscription_ids_via_client."""
    return page([get_subscription(state, request)])


@route("GET", ARM, "/subscriptions/[^/]+")
def get_subscription(state: State, request: Request) -> dict[str, str]:
    """Answer the check of a subscription: learn.microsoft.com/rest/api/resources/subscriptions/get."""
    name = state.workspace.subscription
    shown = {"displayName": "emulated", "state": "Enabled", "tenantId": state.workspace.tenant}
    return {"id": f"/subscriptions/{name}", "subscriptionId": name, **shown}


@route("GET", ARM, "{ws}")
def get_workspace(state: State, request: Request) -> Any:
    """Answer azureml._project._commands.get_workspace."""
    own = state.workspace
    resources = own.scope.partition("/providers/")[0] + "/providers"
    return {
        "id": own.scope,
        "name": own.name,
        "type": "Microsoft.MachineLearningServices/workspaces",
        "location": own.region,
        "tags": {},
        "sku": {"name": "Basic", "tier": "Basic"},
        "properties": {
            "workspaceId": own.id,
            "friendlyName": own.name,
            "discoveryUrl": f"{own.api}/discovery",
            "mlFlowTrackingUri": own.tracking_uri,
            "storageAccount": f"{resources}/Microsoft.Storage/storageAccounts/{own.account}",
            "keyVault": f"{resources}/Microsoft.Keyvault/vaults/emulated",
            "applicationInsights": f"{resources}/Microsoft.insights/components/emulated",
            "provisioningState": "Succeeded",
            "creationTime": now(),
            "sdkTelemetryAppInsightsKey": new_id(),
        },
    }


@route("GET", API, "/discovery", open=True)
def discover(state: State, request: Request) -> dict[str, str]:
    """Answer azureml._base_sdk_common.service_discovery.discover_services_uris, which sends no token."""
    return {**dict.fromkeys(SERVICES, state.workspace.api), "studio": "https://ml.azure.com"}


@route("POST", ARM, "{ws}/listKeys")
def list_keys(state: State, request: Request) -> Any:
    """Answer DockerBuildContext.from_local_directory, which uploads with the account's key."""
    keys = {"userStorageKey": "ZW11bGF0ZWQ=", "appInsightsInstrumentationKey": new_id()}
    return {**keys, "userStorageResourceId": state.workspace.account, "containerRegistryCredentials": {}}
