"""Datasets: references to files on datastores, every version of them kept."""

import json
import re
from typing import Any
from urllib.parse import unquote

import yaml

from ..routes import API, Refusal, Request, not_found, page, route
from ..state import State
from ..storage import new_id, now
from . import datastores

KIND = "datasets"
DATASETS = r"/dataset/v1.\d{ws}/datasets"
SAVED = r"/dataset/v1.\d{ws}/saveddatasets"
ON_DATASTORE = re.compile(r"/datastores/(?P<store>[^/]+)/paths/(?P<path>.*)$", re.IGNORECASE)


@route("GET", API, DATASETS)
def list_datasets(state: State, request: Request) -> Any:
    """Answer AbstractDataset.get_all."""
    return page([versions[-1] for versions in state.documents.all(KIND)])


@route("POST", API, DATASETS)
def post_dataset(state: State, request: Request) -> Any:
    """Answer AbstractDataset._register."""
    wanted = request.json
    may_exist = request.query.get("updateDefinitionIfExists", "").lower() == "true"
    if state.documents.get(KIND, wanted["name"]) and not may_exist:
        raise Refusal(409, "UserError", f"There is already a dataset registered under name {wanted['name']}.")

    def make(versions: list[dict[str, Any]]) -> dict[str, Any]:
        dataset_id = versions[0]["datasetId"] if versions else new_id()
        version = {"versionId": str(len(versions) + 1), "savedDatasetId": new_id(), "createdTime": now()}
        latest = {**(wanted.get("latest") or {}), **version, "datasetId": dataset_id}
        times = {"createdTime": now(), "modifiedTime": now(), "etag": version["savedDatasetId"]}
        return {**wanted, "datasetId": dataset_id, "latest": latest, "isVisible": True, **times}

    return state.documents.append(KIND, wanted["name"], make)


@route("GET", API, DATASETS + "/query/name={name}")
def get_by_name(state: State, request: Request, name: str) -> Any:
    """Answer AbstractDataset._get_by_name, which takes 404 for "cannot find"."""
    version = request.query.get("versionId", "latest")
    for found in reversed(state.documents.get(KIND, name) or []):
        if version in ("latest", "", found["latest"]["versionId"]):
            return found
    raise not_found(f"Dataset {name}, version {version},")


@route("GET", API, DATASETS + "/query/savedDatasetId={saved}")
def get_by_saved_id(state: State, request: Request, saved: str) -> Any:
    """Answer AbstractDataset._get_by_id for registered datasets."""
    return page([found for found in _all(state) if found["latest"]["savedDatasetId"] == saved])


@route("GET", API, DATASETS + "/{dataset}")
def get_dataset(state: State, request: Request, dataset: str) -> Any:
    """Answer DatasetClient.get by a dataset's id: the latest version."""
    return find(state, dataset_id=dataset)


@route("POST", API, SAVED)
def save_dataset(state: State, request: Request) -> Any:
    """Answer AbstractDataset._ensure_saved_internal: a dataset that has an id and no name."""
    saved = new_id()
    return state.documents.put("saved_datasets", saved, {**request.json, "id": saved})


@route("GET", API, SAVED + "/{saved}")
def get_saved(state: State, request: Request, saved: str) -> Any:
    """Answer AbstractDataset._get_by_id for unregistered datasets."""
    if found := state.documents.get("saved_datasets", saved):
        return found
    found = find(state, saved_id=saved)
    return {
        "id": saved,
        "datasetType": found["datasetType"],
        "properties": {},
        "dataflowJson": found["latest"]["dataflow"],
    }


@route("GET", API, r"/data/v1.0{ws}/dataversion/{name}/versions/{version}")
def get_data_version(state: State, request: Request, name: str, version: str) -> Any:
    """Answer azureml.data._dataset_rest_helper._fetch_rslex_dataflow_yaml."""
    if not name.startswith("unregistered-"):
        raise not_found(f"Data asset {name}")
    return {"dataVersion": {"dataId": name}, "legacyDataflow": dataflow(state, name.removeprefix("unregistered-"))}


def _all(state: State) -> list[dict[str, Any]]:
    return [dataset for versions in state.documents.all(KIND) for dataset in reversed(versions)]


def find(state: State, dataset_id: str = "", saved_id: str = "", version: str | None = None) -> dict[str, Any]:
    """Return a dataset by the id of all its versions, or by that of one."""
    for found in _all(state):
        if saved_id and found["latest"]["savedDatasetId"] == saved_id:
            return found
        if dataset_id and found["datasetId"] == dataset_id and version in (None, found["latest"]["versionId"]):
            return found
    raise not_found(f"Dataset {dataset_id or saved_id}")


def dataflow(state: State, saved: str) -> str:
    """Return what a dataset consists of, in rslex's language."""
    unnamed = state.documents.get("saved_datasets", saved)
    text = unnamed["dataflowJson"] if unnamed else find(state, saved_id=saved)["latest"]["dataflow"]
    return str(json.loads(text)["meta"]["RsDataflow"])


def files(state: State, saved: str) -> dict[str, str]:
    """Return the blobs of a file dataset, each with the path that a download gives it."""
    found: dict[str, str] = {}
    for entry in yaml.safe_load(dataflow(state, saved))["paths"]:
        (address,) = entry.values()
        place = ON_DATASTORE.search(address)
        if not place:
            raise Refusal(400, "UserError", f"The emulator finds files on datastores only, not at {address}.")
        root = datastores.container(state, place["store"])
        pattern = unquote(place["path"]).strip("/")
        fixed = re.split(r"[*?\[]", pattern)[0]
        if fixed == pattern and not state.blobs.exists(f"{root}/{pattern}"):  # a folder
            fixed, pattern = f"{fixed}/", f"{pattern}/**"
        base = f"{root}/{fixed}".rpartition("/")[0] + "/"
        for key in state.blobs.keys(f"{root}/{fixed}"):
            if _matcher(pattern).fullmatch(key.removeprefix(f"{root}/")):
                found[key] = key.removeprefix(base)
    return found


def _matcher(pattern: str) -> re.Pattern[str]:
    """Read a pattern as rslex does: ``**`` is anything, ``*`` anything within a folder."""
    parts = re.split(r"(\*\*/?|\*|\?)", pattern)
    meaning = {"**": ".*", "**/": "(.*/)?", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(part) or re.escape(part) for part in parts))
