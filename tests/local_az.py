"""Stands in for `az` in a release: a registry that keeps what is pushed, a Web App, a vault, and logins.

    python local_az.py FOLDER WORDS...

State is FOLDER/azure.json. Each call needs the roles that the project's guide gives for training and deploying. What it
does not know, it refuses.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from itertools import pairwise
from pathlib import Path

from azure_roles import DEPLOY, refusal

AKS = "6dae42f8-4368-4678-94ff-3960e28e3630"


def main() -> None:
    folder, words = Path(sys.argv[1]), sys.argv[2:]
    file = folder / "azure.json"
    state = json.loads(file.read_text("utf-8"))
    if refused := refusal(words, DEPLOY, Path(state["guide"]).read_text("utf-8")):
        sys.exit(f"ERROR: {refused}")
    told = answer(folder, state, words)
    unfinished = file.with_suffix(".new")
    unfinished.write_text(json.dumps(state), encoding="utf-8")
    unfinished.replace(file)
    if told is not None:
        print(told if isinstance(told, str) and "tsv" in words else json.dumps(told))


def answer(folder: Path, state: dict, words: list[str]) -> object:  # noqa: PLR0911 - one for each call
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
        case ["keyvault", "secret", "show", *_]:
            return state["keys"] if "--query" in words else {"value": state["keys"]}
        case ["rest", *_]:
            return web_app(state, words)
        case ["role", "assignment", "list", *_]:
            return [{"roleDefinitionId": "a/7f951dda-4ed3-4680-a7ca-43fe172d538d"}]  # AcrPull
    return sys.exit(f"az {' '.join(words)}: not expected")


def after(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def registry(folder: Path, state: dict, words: list[str]) -> object:  # noqa: PLR0911
    """Answer as a registry that has exactly what was pushed. A tag that is pushed again names what came last."""
    held: dict[str, dict[str, str]] = state["repositories"]
    match words:
        case ["show", *_]:
            return {"id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/r"}
        case ["repository", "list", *_]:
            return list(held)
        case ["repository", "show-tags", *_]:
            return [{"name": tag, "digest": digest} for tag, digest in held[after(words, "--repository")].items()]
        case ["build", *_]:
            images = [image.split(":") for flag, image in pairwise(words) if flag == "--image"]
            digest = f"sha256:{hashlib.sha256(os.urandom(32)).hexdigest()}"  # no two builds are alike
            context = next(word for word in words if (Path(word) / "Dockerfile").is_file())
            shutil.copytree(context, folder / digest.partition(":")[2])
            state["ids"][digest] = after(words, "--build-arg").partition("=")[2]
            for repository, tag in images:
                held.setdefault(repository, {})[tag] = digest
            pushed = [{"registry": "r", "repository": name, "tag": tag, "digest": digest} for name, tag in images]
            state["run"] = {"runId": "ca1", "status": "Succeeded", "outputImages": pushed}
            return state["run"]
        case ["task", "logs", *_]:
            return None
        case ["task", "show-run", *_]:
            return state["run"]
        case ["import", *_]:
            (repository, tag), digest = after(words, "--image").split(":"), after(words, "--source").partition("@")[2]
            if digest not in held[repository].values():
                sys.exit(f"ERROR: manifest {digest} is not found")
            held[repository][tag] = digest
            return None
    return sys.exit(f"az acr {' '.join(words)}: not expected")


def web_app(state: dict, words: list[str]) -> object:
    """Answer as Azure Resource Manager does about a Web App of one container."""
    app = state["web app"]
    path = re.sub(r"^.*/providers/Microsoft.Web/sites/[^/?]+|\?.*$", "", after(words, "--url"))
    if path == "":
        identity = {"principalId": "identity-of-the-app"}
        return {"id": after(words, "--url").partition("?")[0], "identity": identity, "properties": app["site"]}
    if path == "/config/web" and "patch" in words:
        app["linuxFxVersion"] = json.loads(after(words, "--body"))["properties"]["linuxFxVersion"]
        app["sets"] += 1
    if path == "/config/web":
        return {"properties": {"linuxFxVersion": app["linuxFxVersion"], "acrUseManagedIdentityCreds": True}}
    if path == "/config/appsettings/list":
        return {
            "properties": {"SCORING_KEYS": f"@Microsoft.KeyVault(VaultName={state['vault']};SecretName=scoring-key)"}
        }
    if path == "/config/configreferences/appsettings/SCORING_KEYS":
        return {"properties": {"status": "Resolved"}}
    return sys.exit(f"az {' '.join(words)}: not expected")


if __name__ == "__main__":
    main()
