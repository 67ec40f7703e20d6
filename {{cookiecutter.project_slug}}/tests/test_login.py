"""Tokens are held until shortly before they expire, and asked for in the two ways in which the SDK and MLflow ask."""

import time
from unittest.mock import ANY

import pytest

pytest.importorskip("azureml.core", reason="Azure ML's SDK has no build for this machine")

from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from ml_service.login import Login

from {{ cookiecutter.package_name }}.program import UserError


class Credential:
    """Gives tokens that are numbered, and valid for as long as it is told."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self.scopes: list[str] = []

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        self.scopes += scopes
        return AccessToken(f"token-{len(self.scopes)}", int(time.time()) + self.seconds)


def test_a_good_token_is_held_and_one_about_to_expire_is_not() -> None:
    lasting, expiring = Login(Credential(seconds=3600)), Login(Credential(seconds=200))

    assert [lasting.get_token("scope").token for _ in "ab"] == ["token-1", "token-1"]
    assert [expiring.get_token("scope").token for _ in "ab"] == ["token-1", "token-2"]


def test_the_sdk_and_mlflow_get_tokens_for_azure() -> None:
    credential = Credential(seconds=3600)
    login = Login(credential)

    assert login._get_arm_token() == "token-1"
    assert login.get_token("https://management.azure.com/.default") == ("token-2", ANY)
    assert credential.scopes == [
        "https://management.core.windows.net//.default",
        "https://management.azure.com/.default",
    ]


def test_nobody_logged_in_is_told_what_was_tried() -> None:
    class Nobody(Credential):
        def get_token(self, *scopes: str, **_: object) -> AccessToken:
            raise ClientAuthenticationError("Attempted credentials:\n\tAzureCliCredential: not found\nSee a page.")

    with pytest.raises(UserError, match=r"run `az login`\. Tried: AzureCliCredential: not found$"):
        Login(Nobody(seconds=0)).get_token("scope")
