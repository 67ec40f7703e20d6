"""The emulator as a whole: it finds who answers a call, and remembers the call."""

import re
import secrets
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from . import control, routes, services, tokens
from .certificates import Authority, write_secret
from .executor import Executor
from .faults import Faults
from .launchers import Launcher
from .mlflow_store import MlflowStore
from .proxy import Server
from .routes import Refusal, Reply, Request
from .state import State
from .storage import Blobs, Documents
from .workspace import Workspace

# Clients repeat 5xx for minutes and take 404 for "is not there". Nobody repeats or swallows 405.
UNKNOWN_STATUS = 405
CLIENT_ID = "11111111-1111-1111-1111-111111111111"
CHALLENGE = {"WWW-Authenticate": 'Bearer authorization_uri="https://login.microsoftonline.com/", error="invalid_token"'}
AUDIENCES = {"https://management.azure.com", "https://management.core.windows.net", "https://ml.azure.com"}

services.load()


class Emulator:
    """One workspace, its services, and the server that speaks for them."""

    def __init__(self, folder: Path, workspace: Workspace, port: int, launcher: Launcher) -> None:
        authority = Authority(folder / "certificates")
        self.server = Server(port, authority, self.answer, lambda request, _: control.answer(self.state, request))
        self.state = State(
            workspace=workspace,
            folder=folder,
            documents=Documents(folder / "documents"),
            blobs=Blobs(folder / "blobs"),
            faults=Faults(),
            mlflow=MlflowStore(folder, workspace),
            federated_token=tokens.issue(workspace.tenant, "federated", nonce=secrets.token_hex(16)),
            proxy_variables={
                **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "http_proxy"), self.server.url),
                **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
                "REQUESTS_CA_BUNDLE": str(authority.bundle),
                "SSL_CERT_FILE": str(authority.bundle),
                "AZUREML_CURRENT_CLOUD": "AzureCloud",
            },
        )
        self.state.executor = Executor(self.state, launcher)

    def start(self) -> dict[str, str]:
        """Begin to serve, and return the variables that point clients here."""
        own, folder = self.state.workspace, self.state.folder
        (folder / "home").mkdir(exist_ok=True)
        token = folder / "federated-token"
        write_secret(token, self.state.federated_token.encode())
        self.server.start()
        return {
            **self.state.proxy_variables,
            "HOME": str(folder / "home"),
            "SUBSCRIPTION_ID": own.subscription,
            "RESOURCE_GROUP": own.group,
            "WORKSPACE_NAME": own.name,
            "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",  # DefaultAzureCredential asks for all four
            "AZURE_TENANT_ID": own.tenant,
            "AZURE_CLIENT_ID": CLIENT_ID,
            "AZURE_FEDERATED_TOKEN_FILE": str(token),
            "EMULATOR": self.server.url,
        }

    def stop(self) -> None:
        self.state.executor.close()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: Request, path: str) -> Reply:
        """Answer a call to Azure, and remember it. ``path`` is as it was sent."""
        found = routes.find(request)
        reply = self._answer(request, path, found)
        claims = _claims(request) or {}
        self.state.calls.append(
            {
                "method": request.method,
                "host": request.host,
                "path": path,
                "query": sorted(request.query),
                "status": reply.status,
                "known": found is not None,
                "credential": claims.get("appid") or claims.get("sub"),
            }
        )
        return reply

    def _answer(self, request: Request, path: str, found: routes.Found | None) -> Reply:
        try:
            if rule := self.state.faults.for_call(request, path):
                time.sleep(rule.delay)
                if fault := rule.reply():
                    return fault
            if not found:
                sentence = f"azureml_emulator has no route for {request.method} {request.host}{path}"
                print(sentence, file=sys.stderr, flush=True)
                raise Refusal(UNKNOWN_STATUS, "EmulatorHasNoRoute", sentence)
            if not found.route.open:
                _check_credential(request)
            _check_scope(self.state.workspace, path)
            reply = found.route.handler(self.state, request, **found.parts)
        except Refusal as refusal:
            return refusal.reply()
        except Exception as error:
            traceback.print_exc()
            return Refusal(400, "EmulatorBug", f"azureml_emulator: {request.method} {path}: {error!r}").reply()
        return reply if isinstance(reply, Reply) else Reply(reply)


def _claims(request: Request) -> dict[str, Any] | None:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return tokens.read(token.strip()) if kind.lower() == "bearer" else None


def _check_credential(request: Request) -> None:
    """Refuse calls without a token that is still good: learn.microsoft.com/rest/api/azure/#authentication."""
    claims = _claims(request)
    if claims is None:
        message = "Authentication failed. The 'Authorization' header is missing or no bearer token."
        raise Refusal(401, "AuthenticationFailed", message, CHALLENGE)
    if tokens.expired(claims):
        raise Refusal(401, "ExpiredAuthenticationToken", "The access token has expired.", CHALLENGE)
    if str(claims.get("aud")).rstrip("/") not in AUDIENCES:
        message = f"The access token is for {claims.get('aud')}; it is accepted for {', '.join(sorted(AUDIENCES))}."
        raise Refusal(401, "InvalidAuthenticationTokenAudience", message, CHALLENGE)


def _check_scope(own: Workspace, path: str) -> None:
    """Refuse what is not in the one workspace, as Azure Resource Manager does.

    The codes: learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-not-found.
    """
    subscription = re.search(r"/subscriptions/([^/]+)", path, re.IGNORECASE)
    if subscription and subscription[1].lower() != own.subscription.lower():
        raise Refusal(404, "SubscriptionNotFound", f"The subscription '{subscription[1]}' could not be found.")
    group = re.search(r"/resourceGroups/([^/]+)", path, re.IGNORECASE)
    if group and group[1].lower() != own.group.lower():
        raise Refusal(404, "ResourceGroupNotFound", f"Resource group '{group[1]}' could not be found.")
    workspace = routes.WORKSPACE.search(path)
    if workspace and workspace["name"].lower() != own.name.lower():
        raise Refusal(
            404,
            "ResourceNotFound",
            f"The Resource 'Microsoft.MachineLearningServices/workspaces/{workspace['name']}' under resource group "
            f"'{own.group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
        )
