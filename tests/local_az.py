"""Stands in for `az` in a release: a registry that keeps what is pushed, a Web App, a container group, a vault, logins.

    python -IS local_az.py FOLDER WORDS...

State is FOLDER/azure.json; FOLDER/calls has a line for each call. Each call needs the roles that the project's guide
gives for training and deploying. What it does not know, it refuses.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import local_aci
from azure_roles import DEPLOY, refusal

AKS = "6dae42f8-4368-4678-94ff-3960e28e3630"
GROUP = "/subscriptions/s/resourceGroups/mlops-RG"
REGISTRY = f"{GROUP}/providers/Microsoft.ContainerRegistry/registries"
ROLES = "/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions"
ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
NOTHING = {
    "subscription": "s",
    "failing": [],  # calls that hold such words are refused
    "warns": False,  # once, a change is answered by a warning
    "vault": "base-AML-KV",
    "keys": "",
    "repositories": {},  # name -> tag -> digest
    "ids": {},  # digest -> the tag that it was built for
    "run": None,
    "sku": "Premium",
    "roles": {},  # object id -> roles at the registry
    # the Web App
    "there": True,
    "host": "",
    "identity": {"principalId": "an-identity"},
    "tags": None,
    "image": "DOCKER|baseamlcr.azurecr.io/no-model:yet",
    "sets": 0,
    "pulls": True,
    "settings": {},
    "status": "Resolved",
    "refreshed": None,
    **local_aci.NOTHING,
}


def main() -> None:
    folder, words = Path(sys.argv[1]), sys.argv[2:]
    file = folder / "azure.json"
    before = file.read_text("utf-8")
    state = json.loads(before)
    with (folder / "calls").open("a", encoding="utf-8") as calls:
        calls.write(json.dumps(words) + "\n")
    if refused := refusal(words, DEPLOY, Path(state["guide"]).read_text("utf-8")):
        sys.exit(f"ERROR: {refused}")
    if state["refused"] and state["refused"] in " ".join(words):
        sys.exit("ERROR: (AuthorizationFailed) The client does not have authorization to perform this action.")
    if any(failing in " ".join(words) for failing in state["failing"]):
        sys.exit("Forbidden")
    try:
        told = answer(folder, state, words)
    except local_aci.RefusedError as error:  # which may have counted something
        told = error
    if json.dumps(state) != before:
        unfinished = file.with_suffix(".new")
        unfinished.write_text(json.dumps(state), encoding="utf-8")
        unfinished.replace(file)
    if isinstance(told, Exception):
        sys.exit(f"ERROR: {told}")
    if told is not None:
        plain = isinstance(told, str) and ("tsv" in words or "logs" in " ".join(words) or "WARNING" in told)
        print(told if plain else json.dumps(told))


def after(words: list[str], flag: str, absent: str = "") -> str:
    return words[words.index(flag) + 1] if flag in words else absent


def answer(folder: Path, state: dict, words: list[str]) -> object:  # noqa: C901, PLR0911 - one for each call
    """Return what Azure answers to a call."""
    match words:
        case ["account", "show", *_]:
            return state["subscription"]
        case ["account", "get-access-token", *_] if AKS in words:
            return state["token of the cluster"]
        case ["account", "get-access-token", *_]:
            return state["token"]
        case ["acr", *command]:
            return registry(folder, state, command)
        case ["aks", "get-credentials", *_]:
            shutil.copy(folder / "settings", after(words, "--file"))
            return None
        case ["container", "logs", *_]:
            return local_aci.logs(state)
        case ["keyvault", "secret", "show", *_]:
            if after(words, "--vault-name") != state["vault"] or after(words, "--name") != "scoring-key":
                sys.exit(f"ERROR: (SecretNotFound) A secret with (name/id) {after(words, '--name')} was not found")
            version = hashlib.sha256(state["keys"].encode()).hexdigest()[:32]
            return {"value": state["keys"], "id": f"https://a-vault/secrets/scoring-key/{version}"}
        case ["rest", *_]:
            return rest(state, words)
        case ["role", "assignment", "list", *_]:
            assert {"--include-groups", "--include-inherited"} <= set(words)
            assert after(words, "--scope").startswith(REGISTRY)
            roles = state["roles"].get(after(words, "--assignee-object-id"), [])
            return [{"roleDefinitionId": f"{ROLES}/{role}"} for role in roles]
    return sys.exit(f"az {' '.join(words)}: not expected")


def registry(folder: Path, state: dict, words: list[str]) -> object:  # noqa: C901, PLR0911, PLR0912 - as above
    """Answer as a registry that has exactly what was pushed. A tag that is pushed again names what came last."""
    held: dict[str, dict[str, str]] = state["repositories"]
    match words:
        case ["show", *_]:
            name = after(words, "--name")
            return {"id": f"{REGISTRY}/{name}", "name": name, "sku": {"name": state["sku"]}}
        case ["repository", "list", *_]:
            return [name for name in held if held[name]]
        case ["repository", "show-tags", *_]:
            name = after(words, "--repository")
            if not held.get(name):
                sys.exit(f"ERROR: repository {name} is not found")
            return [{"name": tag, "digest": digest} for tag, digest in held[name].items()]
        case ["build", *_]:
            images = [image.split(":") for flag, image in pairwise(words) if flag == "--image"]
            digest = f"sha256:{hashlib.sha256(os.urandom(32)).hexdigest()}"  # no two builds are alike
            context = next(word for word in words if (Path(word) / "Dockerfile").is_file())
            assert "--no-wait" in words
            for copied in re.findall(r"^COPY (\S+) ", (Path(context) / "Dockerfile").read_text("utf-8"), re.MULTILINE):
                assert (Path(context) / copied).exists(), copied
            shutil.copytree(context, folder / digest.partition(":")[2])
            pushed = [{"registry": "r", "repository": name, "tag": tag, "digest": digest} for name, tag in images]
            state["run"] = state["run"] or {"runId": "ca1", "status": "Succeeded", "outputImages": pushed}
            if state["run"]["status"] == "Succeeded":
                state["ids"][digest] = after(words, "--build-arg").partition("=")[2]
                for repository, tag in images:
                    held.setdefault(repository, {})[tag] = digest
            return {"runId": "ca1"}
        case ["task", "logs", *_]:
            return "Step 1/9 : FROM python"
        case ["task", "show-run", *_]:
            run, state["run"] = state["run"], None
            return run
        case ["import", *_]:
            assert after(words, "--registry") == f"{REGISTRY}/{after(words, '--name')}"
            (repository, tag), digest = after(words, "--image").split(":"), after(words, "--source").partition("@")[2]
            if digest not in held.get(after(words, "--source").partition("@")[0], {}).values():
                sys.exit(f"ERROR: manifest {digest} is not found")
            if tag in held.get(repository, {}) and "--force" not in words:
                sys.exit(f"ERROR: Conflict: {tag} already exists")
            held.setdefault(repository, {})[tag] = digest
            return None
    return sys.exit(f"az acr {' '.join(words)}: not expected")


def rest(state: dict, words: list[str]) -> object:
    """Answer as Azure Resource Manager does."""
    url, method = after(words, "--url"), after(words, "--method", "get")
    body = after(words, "--body", "null")
    if body.startswith("@"):
        file = Path(body[1:])
        assert not file.parent.stat().st_mode & 0o077, "others may look into the folder"
        body = file.read_text("utf-8")
    found = re.fullmatch(r"(.*)/providers/(Microsoft\.\w+)/(\w+)/([\w.-]+)([^?]*)\?api-version=([\w-]+)", url)
    if not found:
        return sys.exit(f"az {' '.join(words)}: not expected")
    group, namespace, kind, name, path, _ = found.groups()
    if (namespace, kind) == ("Microsoft.Web", "sites"):
        return web_app(state, f"{group}/providers/{namespace}/{kind}/{name}", path, method, json.loads(body))
    return local_aci.rest(state, f"{namespace}/{kind}/{name}{path}", method, json.loads(body))


def web_app(state: dict, identifier: str, path: str, method: str, body: dict | None) -> object:  # noqa: PLR0911
    """Answer about a Web App of one container."""
    if not state["there"]:
        sys.exit('ERROR: Not Found({"error":{"code":"ResourceNotFound"}})')
    match method, path:
        case "get", "":
            site = {"defaultHostName": state["host"]}
            identifier = identifier.replace("{subscriptionId}", "s")
            return {"id": identifier, "properties": site, "identity": state["identity"], "tags": state["tags"]}
        case "patch", "/config/web":
            state["image"] = body["properties"]["linuxFxVersion"]
            state["sets"] += 1
            if state["warns"]:
                state["warns"] = False
                return "WARNING: this is no JSON"
            return body
        case "get", "/config/web":
            return {"properties": {"linuxFxVersion": state["image"], "acrUseManagedIdentityCreds": state["pulls"]}}
        case "post", "/config/appsettings/list":
            return {"properties": state["settings"]}
        case "post", "/config/configreferences/appsettings/refresh":
            state["status"] = state["refreshed"] or state["status"]
            return None
        case "get", "/config/configreferences/appsettings/SCORING_KEYS":
            return {"properties": {"status": state["status"]}}
        case "post", "/containerlogs":
            return "A line of the app."
    return sys.exit(f"{method} {path} of a Web App: not expected")


if __name__ == "__main__":
    main()
