"""Pin the base images: write into each Dockerfile the digest that the tag of its BASE_IMAGE has now in its registry.

Registries are asked without an account. Standard library only. `make lock UPGRADE=--upgrade` runs it, too.
"""

import argparse
import json
import re
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from environment_setup.azure_cli import AzureError, program

ROOT = Path(__file__).parents[1]
DOCKERFILES = ("environment_setup/Dockerfile", "deployment/image/Dockerfile")
BASE = re.compile(r"^(ARG BASE_IMAGE=)([a-z0-9.-]+(?::\d+)?)/([a-z0-9._/-]+):([\w.-]+)(?:@\S+)?$", re.MULTILINE)
# An index, which names an image for each platform, or what a registry has that keeps an image alone.
KINDS = "oci.image.index.v1 docker.distribution.manifest.list.v2 oci.image.manifest.v1 docker.distribution.manifest.v2"
ACCEPT = ", ".join(f"application/vnd.{kind}+json" for kind in KINDS.split())
SECONDS = 20
REMEDIES = {
    401: "wants an account: write the digest that it shows you",
    404: "has no such image: correct BASE_IMAGE",
    429: "was asked too often: try again in an hour, or name a copy in a registry of your own",
}


def ask(method: str, url: str, **headers: str) -> tuple[str, bytes]:
    """Return what an answer says is the digest, and its body."""
    with urlopen(Request(url, headers=headers, method=method), timeout=SECONDS) as answer:  # noqa: S310 - checked
        return answer.headers.get("Docker-Content-Digest", ""), answer.read(2**20)


def digest(registry: str, repository: str, tag: str) -> str:
    """Return what a tag names. A registry on this machine is asked by HTTP, as Docker does it."""
    scheme = "http" if registry.partition(":")[0] in ("localhost", "127.0.0.1") else "https"
    host = "registry-1.docker.io" if registry == "docker.io" else registry
    url = f"{scheme}://{host}/v2/{repository}/manifests/{tag}"
    try:
        return ask("HEAD", url, Accept=ACCEPT)[0]
    except HTTPError as error:
        challenge = dict(re.findall(r'(\w+)="([^"]*)"', error.headers.get("WWW-Authenticate", "")))
        if error.code != 401 or not challenge.get("realm", "").startswith(f"{scheme}://"):
            raise
    wanted = urlencode({"service": challenge.get("service", ""), "scope": f"repository:{repository}:pull"})
    granted = json.loads(ask("GET", f"{challenge['realm']}?{wanted}")[1])
    token = granted.get("token") or granted["access_token"]
    return ask("HEAD", url, Accept=ACCEPT, Authorization=f"Bearer {token}")[0]


def pinned(name: str, text: str) -> str:
    """Return a Dockerfile with its base by digest, or raise what a person can mend."""
    if not (found := BASE.search(text)):
        raise AzureError(f"{name} has no line ARG BASE_IMAGE=<registry>/<repository>:<tag>: write one.")
    image = f"{found[2]}/{found[3]}:{found[4]}"
    try:
        told = digest(found[2], found[3], found[4])
    except HTTPError as error:
        why = REMEDIES.get(error.code, f"answers {error.code}: try again later")
        raise AzureError(f"{image} in {name}: its registry {why}.") from error
    except (OSError, HTTPException, ValueError, KeyError, AttributeError) as error:
        remedy = "try again where there is a network, or write the digest by hand"
        raise AzureError(f"{image} in {name}: its registry cannot be asked ({error}): {remedy}.") from error
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", told):
        raise AzureError(f"{image} in {name}: its registry names no digest ({told[:80]!r}): write it by hand.")
    return f"{text[: found.start()]}{found[1]}{image}@{told}{text[found.end() :]}"


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    with program():
        texts = {name: (ROOT / name).read_bytes().decode() for name in DOCKERFILES if (ROOT / name).exists()}
        new = {name: pinned(name, text) for name, text in texts.items()}
        changed = [name for name in texts if new[name] != texts[name]]
        for name in changed:  # none before all are known
            (ROOT / name).write_bytes(new[name].encode())
        print(f"Pinned anew: {', '.join(changed)}." if changed else "Every base image has the digest of its tag.")


if __name__ == "__main__":
    main()
