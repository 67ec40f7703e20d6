"""Blob storage, as far as the SDK, azure-storage-blob and rslex go.

Shapes and error codes: learn.microsoft.com/rest/api/storageservices/blob-service-rest-api.
"""

import re
from xml.sax.saxutils import escape

from ..routes import BLOB, Refusal, Reply, Request, route
from ..state import State

VERSION = {"x-ms-version": "2024-11-04", "x-ms-request-server-encrypted": "true"}


def _key(request: Request, path: str) -> str:
    """Return the blob's key. Signatures are not verified, but there must be one."""
    if "sig" not in request.query and not request.headers.get("Authorization"):
        message = "Server failed to authenticate the request: there is no Authorization header and no SAS."
        raise Refusal(403, "AuthenticationFailed", message, {"x-ms-error-code": "AuthenticationFailed"})
    return f"{request.host.partition('.')[0]}/{path.rstrip('/')}"


@route("PUT", BLOB, "/{path...}", open=True)
def put(state: State, request: Request, path: str) -> Reply:
    """Answer Put Blob, Put Block, Put Block List, Create Container: learn.microsoft.com/rest/api/storageservices."""
    key, part = _key(request, path), request.query.get("comp")
    if request.query.get("restype") == "container" or part in ("metadata", "properties", "tier", "tags"):
        return Reply(None, 201 if part is None else 200, VERSION)
    with state.lock:
        if part == "block":
            state.blocks.setdefault(key, {})[request.query["blockid"]] = request.body
            return Reply(None, 201, VERSION)
        if request.headers.get("If-None-Match") == "*" and state.blobs.exists(key):
            message = "The specified blob already exists."
            raise Refusal(409, "BlobAlreadyExists", message, {"x-ms-error-code": "BlobAlreadyExists"})
        content = request.body
        if part == "blocklist":
            blocks = state.blocks.pop(key, {})
            names = re.findall(r"<(?:Latest|Uncommitted|Committed)>([^<]+)<", request.body.decode())
            if missing := [name for name in names if name not in blocks]:
                raise Refusal(400, "InvalidBlockList", f"There are no blocks {', '.join(missing)}.")
            content = b"".join(blocks[name] for name in names)
        state.blobs.write(key, content)
    return Reply(None, 201, {**state.blobs.headers(key), **VERSION})


@route("GET HEAD", BLOB, "/{path...}", open=True)
def get(state: State, request: Request, path: str) -> Reply:
    """Answer Get Blob, its ranges and properties, List Blobs: learn.microsoft.com/rest/api/storageservices."""
    key = _key(request, path)
    if request.query.get("comp") == "list":
        return _list(state, request, key)
    if request.query.get("restype") == "container":
        return Reply(b"", 200, VERSION)
    if not state.blobs.exists(key):
        message = "The specified blob does not exist."
        raise Refusal(404, "BlobNotFound", message, {"x-ms-error-code": "BlobNotFound"})
    content = state.blobs.read(key)
    headers = {**state.blobs.headers(key), **VERSION, "x-ms-blob-type": "BlockBlob", "Accept-Ranges": "bytes"}
    asked = re.match(r"bytes=(\d+)-(\d*)", request.headers.get("x-ms-range") or request.headers.get("Range") or "")
    if not asked or request.method == "HEAD":
        return Reply(content, 200, headers)
    start, end = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
    if start >= len(content):
        raise Refusal(416, "InvalidRange", "The range is not valid.", {"x-ms-error-code": "InvalidRange"})
    return Reply(content[start : end + 1], 206, {**headers, "Content-Range": f"bytes {start}-{end}/{len(content)}"})


@route("DELETE", BLOB, "/{path...}", open=True)
def delete(state: State, request: Request, path: str) -> Reply:
    """Answer Delete Blob: learn.microsoft.com/rest/api/storageservices/delete-blob."""
    key = _key(request, path)
    if not state.blobs.exists(key):
        message = "The specified blob does not exist."
        raise Refusal(404, "BlobNotFound", message, {"x-ms-error-code": "BlobNotFound"})
    state.blobs.remove(key)
    return Reply(None, 202, VERSION)


def _list(state: State, request: Request, container: str) -> Reply:
    prefix, delimiter = request.query.get("prefix", ""), request.query.get("delimiter", "")
    blobs, folders = [], []
    for key in state.blobs.keys(f"{container}/{prefix}"):
        name = key.removeprefix(f"{container}/")
        below, divided, _ = name.removeprefix(prefix).partition(delimiter) if delimiter else (name, "", "")
        if divided:
            folders.append(prefix + below + delimiter)
            continue
        found = state.blobs.headers(key)
        size = state.blobs.path(key).stat().st_size
        blobs.append(
            f"<Blob><Name>{escape(name)}</Name><Properties><Last-Modified>{found['Last-Modified']}</Last-Modified>"
            f"<Etag>{escape(found['ETag'])}</Etag><Content-Length>{size}</Content-Length>"
            "<BlobType>BlockBlob</BlobType></Properties></Blob>"
        )
    prefixes = [f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>" for name in dict.fromkeys(folders)]
    listing = "".join(blobs + prefixes)
    document = f"<EnumerationResults><Blobs>{listing}</Blobs><NextMarker/></EnumerationResults>"
    return Reply(document.encode(), 200, {"Content-Type": "application/xml", **VERSION})
