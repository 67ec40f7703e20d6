"""The keys that callers of the service send: one secret of the Key Vault, which holds one key or two."""

from environment_setup.azure_cli import AzureError, az, setting

SECRET = "scoring-key"  # noqa: S105 - its name


def vault() -> str:
    return f"{setting('BASE_NAME')}-AML-KV"


def new_keys() -> str:
    """Return the command that makes a key without showing it."""
    made = "python3 -c \"import secrets; print(secrets.token_urlsafe(32), end='')\""
    return f"{made} | az keyvault secret set --vault-name {vault()} --name {SECRET} --file /dev/stdin --output none"


def keys() -> str:
    """Return the secret, or say how it is made. No error shows what it holds."""
    try:
        held = str(az("keyvault", "secret", "show", "--vault-name", vault(), "--name", SECRET)["value"])
    except AzureError as error:
        if "SecretNotFound" not in str(error):
            raise
        held = ""
    if not held.split():
        raise AzureError(f"The secret {SECRET} of {vault()} is missing or empty: `{new_keys()}` fills it.")
    return held
