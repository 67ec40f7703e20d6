"""Log in to Azure with whatever identity there is: no secret is asked for, none is kept."""

import os
import time

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    AzureCliCredential,
    ChainedTokenCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from azureml.core.authentication import TokenAuthentication

from {{ cookiecutter.package_name }}.program import UserError

REFRESH_BEFORE = 300  # seconds


def credential() -> TokenCredential:
    """Return the federated identity of a job, else who did ``az login``, else the identity of the machine."""
    try:
        federated = [WorkloadIdentityCredential()] if os.environ.get("AZURE_FEDERATED_TOKEN_FILE") else []
    except ValueError as error:
        raise UserError(f"AZURE_FEDERATED_TOKEN_FILE is set, but not all that goes with it: {error}") from error
    machine = ManagedIdentityCredential(client_id=os.environ.get("AZURE_CLIENT_ID") or None)
    return ChainedTokenCredential(*federated, AzureCliCredential(process_timeout=60), machine)


class Login(TokenAuthentication):  # type: ignore[misc]
    """What the SDK logs in with, and MLflow through it, which asks the way azure-core asks its credentials.

    A token is held until shortly before it expires: the SDK asks at every call, and `az` takes a second to answer.
    """

    def __init__(self, credential: TokenCredential) -> None:
        self.credential = credential
        self.held: dict[str, AccessToken] = {}
        cloud = os.environ.get("AZUREML_CURRENT_CLOUD", "AzureCloud")
        super().__init__(lambda audience: self.get_token(f"{audience}/.default").token, cloud)

    def get_token(self, scope: str, **_: object) -> AccessToken:
        """Return a token for a scope, or say why nobody is logged in."""
        held = self.held.get(scope)
        if held is None or held.expires_on - time.time() < REFRESH_BEFORE:
            try:
                held = self.held[scope] = self.credential.get_token(scope)
            except ClientAuthenticationError as error:
                federated = os.environ.get("AZURE_FEDERATED_TOKEN_FILE")
                remedy = "see whether AZURE_CLIENT_ID, AZURE_TENANT_ID and the token belong together"
                remedy = remedy if federated else "run `az login`"
                raise UserError(f"Nobody is logged in to Azure: {remedy}. Tried: {tried(error)}") from error
        return held


def tried(error: ClientAuthenticationError) -> str:
    """Return what each credential of the chain said, a line of its own each."""
    lines = [line.strip() for line in str(error.message).splitlines() if line.startswith("\t")]
    return "; ".join(line[:300] for line in lines) or str(error.message)
