"""The workspace that the settings name, and its MLflow."""

from http import HTTPStatus

import mlflow
from azureml.core import Workspace
from azureml.exceptions import AzureMLException
from mlflow import MlflowClient

from {{ cookiecutter.package_name }}.program import UserError

from .login import Login, credential
from .program import status
from .settings import AzureSettings


def get_workspace(settings: AzureSettings) -> Workspace:
    """Open the workspace."""
    name, group, subscription = settings.workspace_name, settings.resource_group, settings.subscription_id
    try:
        return Workspace.get(name, auth=Login(credential()), subscription_id=subscription, resource_group=group)
    except AzureMLException as error:
        if status(error) != HTTPStatus.NOT_FOUND:
            raise
        raise UserError(
            f"There is no workspace {name} in resource group {group} of subscription {subscription}, or this identity "
            "may not see it. WORKSPACE_NAME, RESOURCE_GROUP and SUBSCRIPTION_ID name it."
        ) from error


def mlflow_client(workspace: Workspace) -> MlflowClient:
    """Return a client of the workspace's runs and model versions, logged in as the workspace is."""
    mlflow.set_tracking_uri(workspace.get_mlflow_tracking_uri())  # artifacts are looked for where this says
    return MlflowClient()
