"""The keys that callers of the service send: one secret of the Key Vault, which holds one key or two."""

from functools import cache

from environment_setup.azure_cli import AzureError, az, setting

KEYS = "scoring-key"


def vault() -> str:
    return f"{setting('BASE_NAME')}-AML-KV"


def new_keys() -> str:
    """Return the command that makes a key without showing it."""
    made = "python3 -c \"import secrets; print(secrets.token_urlsafe(32), end='')\""
    return f"{made} | az keyvault secret set --vault-name {vault()} --name {KEYS} --file /dev/stdin --output none"


@cache
def secret() -> dict[str, str]:
    """Return the secret, or say how it is made. No error shows what it holds."""
    held: dict[str, str] = {}
    try:
        held = az("keyvault", "secret", "show", "--vault-name", vault(), "--name", KEYS)
    except AzureError as error:
        if "SecretNotFound" not in str(error):
            raise
    if not held.get("value", "").split():
        raise AzureError(f"The secret {KEYS} of {vault()} is missing or empty: `{new_keys()}` fills it.")
    return held


def keys() -> str:
    return secret()["value"]


def version() -> str:
    """Return which version of the secret this is. That is no secret."""
    return secret()["id"].rpartition("/")[2]
