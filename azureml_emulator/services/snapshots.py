"""Snapshots: the files of a step's source directory, of which a client sends those that changed."""

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ..routes import API, Refusal, Request, not_found, route
from ..state import State
from ..storage import new_id, now

KIND = "snapshots"
NONE = "00000000-0000-0000-0000-000000000000"


@route("GET", API, "/content/v1.0{ws}/snapshots/{snapshot}/metadata")
def get_latest(state: State, request: Request, snapshot: str) -> Any:
    """Answer SnapshotCache.get_latest_snapshot: there is none, so that a client sends all at first."""
    return {"id": NONE, "root": {"name": "", "hash": None, "type": "Directory", "timestamp": now(), "children": {}}}


@route("POST", API, "/content/v2.0{ws}/snapshots/getblob")
def give_addresses(state: State, request: Request) -> Any:
    """Answer SnapshotsClient._upload_snapshot_files: where to upload to."""
    account = state.workspace.account
    addresses = {
        name: state.workspace.blob_url(f"{account}/snapshots/{new_id()}") for name in request.json["FileNames"]
    }
    return {"fileNodes": [{"fullName": name, "blobUri": address} for name, address in addresses.items()]}


@route("POST", API, "/content/v2.0{ws}/snapshots/{snapshot}")
def post_snapshot(state: State, request: Request, snapshot: str) -> dict[str, str]:
    """Answer SnapshotsClient.create_snapshot. The tree says what is in it; what was not sent is the parent's."""
    posted = request.json
    sent = {node["FullName"]: _key(node["BlobUri"]) for node in posted["FileRevisionList"]["FileNodes"]}
    parent = posted.get("ParentSnapshotId") or NONE
    inherited = state.documents.get(KIND, parent)
    if inherited is None and parent != NONE:
        raise Refusal(400, "UserError", f"The parent of the snapshot, {parent}, is unknown.")
    known = {**(inherited or {}), **sent}
    files = {}
    for path in _paths(posted["DirTreeNode"]):
        if path not in known:
            raise Refusal(400, "UserError", f"File {path} is in the snapshot's tree, but was never sent.")
        files[path] = known[path]
    state.documents.put(KIND, snapshot, files)
    return {"id": snapshot}


def unpack(state: State, snapshot: str, folder: Path) -> None:
    """Put a snapshot's files into a folder."""
    files = state.documents.get(KIND, snapshot)
    if files is None:
        raise not_found(f"Snapshot {snapshot}")
    for path, key in files.items():
        target = folder / path
        if not target.resolve().is_relative_to(folder.resolve()):
            raise Refusal(400, "UserError", f"File {path} lies outside of its snapshot.")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(state.blobs.read(key))


def _key(address: str) -> str:
    parts = urlsplit(address)
    return f"{(parts.hostname or '').partition('.')[0]}{unquote(parts.path)}"


def _paths(node: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the files of a tree: azureml._project._merkle_tree DirTreeJsonEncoderV2 writes one."""
    found = []
    for name, child in node["children"].items():
        if child["type"] == "File":
            found.append(prefix + name)
        else:
            found += _paths(child, f"{prefix}{name}/")
    return found
