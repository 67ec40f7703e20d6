"""Microsoft Entra ID: tokens for the federated token that this emulator wrote, and for nothing else."""

from typing import Any
from urllib.parse import parse_qs

from .. import tokens
from ..routes import IMDS, LOGIN, Refusal, Reply, Request, route
from ..state import State

HOST = "login.microsoftonline.com"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@route("GET", LOGIN, "/common/discovery/instance", open=True)
def discover_instance(state: State, request: Request) -> Any:
    """Answer msal.authority._instance_discovery."""
    names = {"preferred_network": HOST, "preferred_cache": HOST, "aliases": [HOST, "login.windows.net"]}
    endpoint = f"https://{HOST}/common/v2.0/.well-known/openid-configuration"
    return {"tenant_discovery_endpoint": endpoint, "api-version": "1.1", "metadata": [names]}


@route("GET", LOGIN, "/{tenant}/v2.0/.well-known/openid-configuration", open=True)
def describe_tenant(state: State, request: Request, tenant: str) -> dict[str, str]:
    """Answer msal.authority.tenant_discovery."""
    address = f"https://{HOST}/{tenant}"
    return {
        "token_endpoint": f"{address}/oauth2/v2.0/token",
        "authorization_endpoint": f"{address}/oauth2/v2.0/authorize",
        "device_authorization_endpoint": f"{address}/oauth2/v2.0/devicecode",
        "issuer": f"{address}/v2.0",
    }


@route("POST", LOGIN, "/{tenant}/oauth2/v2.0/token", open=True)
def give_token(state: State, request: Request, tenant: str) -> Any:
    """Answer azure.identity.WorkloadIdentityCredential, by way of its ClientAssertionCredential."""
    form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    if form.get("grant_type") != "client_credentials" or form.get("client_assertion_type") != ASSERTION:
        return _refused("AADSTS7000218: the emulator knows one way to log in: a federated token as client_assertion.")
    if form.get("client_assertion") != state.federated_token:
        return _refused("AADSTS700213: No matching federated identity record found for presented assertion.")
    if tenant != state.workspace.tenant:
        return _refused(f"AADSTS90002: Tenant '{tenant}' not found.")
    audience = form.get("scope", "").removesuffix("/.default")
    token = tokens.issue(tenant, form["client_id"], 3600, aud=audience, appid=form["client_id"])
    return {"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token}


def _refused(description: str) -> Reply:
    return Reply({"error": "invalid_client", "error_description": description, "error_codes": []}, 401)


@route("GET", IMDS, "/.*", open=True)
def no_managed_identity(state: State, request: Request) -> None:
    """Say at once that this machine has no identity: azure.identity._credentials.imds._check_forbidden_response."""
    raise Refusal(403, "Unreachable", "A socket operation was attempted to an unreachable network.")
