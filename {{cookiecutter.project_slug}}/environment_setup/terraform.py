"""Run Terraform as the pipelines do. After `az login` it works on a person's machine too, but for `apply`.

TERRAFORM_BACKEND_STORAGE and TERRAFORM_BACKEND_RG name the storage account of the state and its resource group.
BASE_NAME, LOCATION, RESOURCE_GROUP and WORKSPACE_NAME, where they are set, win over tf-templates/terraform.tfvars; what
models are deployed to is made where the variable group has a name for it.
TERRAFORM_RELEASES may name a mirror for `install`.
"""

import argparse
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import urllib.request
import zipfile
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

from environment_setup.azure_cli import AzureError, az, program, setting, variable
from environment_setup.names import WORKSPACE, belongs, check, contents, find, notices

# What builds run: a plan can only be applied by the version that made it. Hosted images have none since ubuntu-24.04
# (actions/runner-images#9848). The digest is that of linux_amd64 in HashiCorp's list for this version.
TERRAFORM_VERSION = "1.11.4"
TERRAFORM_SHA256 = "1ce994251c00281d6845f0f268637ba50c0005657eb3cf096b92f753b42ef4dc"  # pragma: allowlist secret
RELEASES = "https://releases.hashicorp.com/terraform"

FOLDER = Path(__file__).resolve().parent / "tf-templates"
LOCK, PLAN = FOLDER / ".terraform.lock.hcl", FOLDER / ".terraform" / "plan"
HANDED_ON = Path("outputs/terraform-plan")
NOTHING_TO_DO = "nothing-to-do.txt"
CONTAINER = "tfstate"
OF_AN_ENVIRONMENT = ("base_name", "location", "resource_group", "workspace_name")
# What models are deployed to: the file that describes it, its variables, and what the group calls them.
OF_A_FILE = {
    "aci.tf": {"aci_deployment_name": "ACI_DEPLOYMENT_NAME"},
    "web_app.tf": {"webapp_deployment_name": "WEBAPP_DEPLOYMENT_NAME"},
    "aks.tf": {"aks_compute_name": "AKS_COMPUTE_NAME", "aks_namespace": "{{ cookiecutter.__aks_namespace }}"},
}
LOCKING = ("-input=false", "-lock-timeout=5m")


def install(_: Path | None) -> None:
    """put the version that builds run on PATH, unless it is there"""
    found = json.loads(run("terraform", "version", "-json")) if shutil.which("terraform") else {}
    if found.get("terraform_version") == TERRAFORM_VERSION:
        say(f"Terraform {TERRAFORM_VERSION} is installed.")
        return
    by_hand = f"install Terraform {TERRAFORM_VERSION} on this machine, or give the build an agent that has it"
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise AzureError(f"Only the build for Linux on x86-64 is fetched: {by_hand}.")
    source = f"{os.environ.get('TERRAFORM_RELEASES') or RELEASES}/{TERRAFORM_VERSION}"
    try:
        with urllib.request.urlopen(f"{source}/terraform_{TERRAFORM_VERSION}_linux_amd64.zip", timeout=60) as answer:  # noqa: S310
            archive = answer.read()
    except OSError as error:
        raise AzureError(f"Terraform cannot be fetched from {source} ({error}): {by_hand}.") from error
    folder = Path(os.environ.get("AGENT_TEMPDIRECTORY") or FOLDER / ".terraform") / "terraform-bin"
    unpack(archive, TERRAFORM_SHA256, folder)
    say(f"Terraform {TERRAFORM_VERSION} is in {folder}.", f"##vso[task.prependpath]{folder}")


def unpack(archive: bytes, sha256: str, folder: Path) -> None:
    """Unpack the program, if the archive is the one that was pinned."""
    found = hashlib.sha256(archive).hexdigest()
    if found != sha256:
        raise AzureError(f"What was fetched is not Terraform {TERRAFORM_VERSION}: its digest is {found}, not {sha256}.")
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        Path(opened.extract("terraform", folder)).chmod(0o755)


def init(handed_on: Path | None) -> None:
    """make the state's container where it is absent, and connect to it; with a folder, use the providers of its plan"""
    group, mine = setting("TERRAFORM_BACKEND_RG"), names()
    if group.lower() == mine["resource_group"].lower():
        raise AzureError(f"The state must outlive {group}: put it into an account in a resource group of its own.")
    if storage("container", "exists", "--name", CONTAINER, "--query", "exists", "--output", "tsv") != "true":
        storage("container", "create", "--name", CONTAINER, "--public-access", "off", "--output", "none")
        say(f"Made the private container {CONTAINER}.")
    # Two environments may share an account: a plan against the state of another would replace all that is in it.
    key = f"{mine['project']}/{mine['resource_group']}/{mine['workspace_name']}.tfstate".lower()
    where = {"storage_account_name": setting("TERRAFORM_BACKEND_STORAGE"), "container_name": CONTAINER, "key": key}
    where |= {"resource_group_name": group, "use_azuread_auth": "true"}
    providers = []
    if handed_on:
        shutil.copy(existing(handed_on / "lock.hcl"), LOCK)
        providers = ["-lockfile=readonly"]
    terraform(
        "init", "-input=false", "-reconfigure", *providers, *(f"-backend-config={k}={v}" for k, v in where.items()),
        shown=True,
    )  # fmt: skip


def plan(handed_on: Path | None) -> None:
    """write the plan: what it says for people, its digest, and the plan itself beside the state"""
    handed_on = handed_on or HANDED_ON
    mine = names()
    resources = contents(mine["resource_group"])
    there = find(resources, WORKSPACE, mine["workspace_name"])
    if there and not belongs(there, mine["project"]):
        told = f"Workspace {there['name']} is there and not of this project: nothing to apply."
        handed_on.mkdir(parents=True, exist_ok=True)
        shutil.copy(LOCK, handed_on / "lock.hcl")
        (handed_on / NOTHING_TO_DO).write_text(told, encoding="utf-8")
        say(told)
        return
    app, base = mine.get("webapp_deployment_name", ""), mine["base_name"]
    check(base, app, mine["resource_group"], mine["project"], resources, recovers=True)  # as versions.tf says
    variables = mine | mesh(mine)
    terraform("plan", *LOCKING, f"-out={PLAN}", *(f"-var={k}={v}" for k, v in variables.items()), shown=True)
    handed_on.mkdir(parents=True, exist_ok=True)
    (handed_on / "plan.txt").write_text(terraform("show", "-no-color", str(PLAN)) + "\n", encoding="utf-8")
    (handed_on / "plan.sha256").write_text(digest(), encoding="utf-8")
    shutil.copy(LOCK, handed_on / "lock.hcl")
    if in_a_build():  # a plan holds the state, keys among it, and artifacts can be read by whoever reads builds
        storage("blob", "upload", *blob(), "--file", str(PLAN), "--overwrite", "--output", "none")
    pulls = any(mine.get(name) for name in ("aci_deployment_name", "webapp_deployment_name", "aks_compute_name"))
    for sentence in notices(says('registry_sku = "Premium"'), pulls and not says("assign_roles = true")):
        say(sentence)
    say(f"The plan can be read in {handed_on / 'plan.txt'}.")


def apply(handed_on: Path | None) -> None:
    """apply exactly the plan of this build; only on the main branch"""
    branch = os.environ.get("BUILD_SOURCEBRANCH")
    if branch != "refs/heads/main":
        raise AzureError(f"Only a build of refs/heads/main applies a plan, and this is {branch or 'no build'}.")
    if (nothing := (handed_on or HANDED_ON) / NOTHING_TO_DO).exists():
        say(nothing.read_text(encoding="utf-8"))
        return
    approved = existing((handed_on or HANDED_ON) / "plan.sha256").read_text(encoding="utf-8")
    storage("blob", "download", *blob(), "--file", str(PLAN), "--output", "none")
    if digest() != approved.strip():
        raise AzureError("The plan beside the state is not the one that was approved: start a new build.")
    terraform("apply", *LOCKING, str(PLAN), shown=True)


def outputs(_: Path | None) -> None:
    """tell the agent each output, by its name in capitals; secrets are marked and not shown"""
    for name, output in json.loads(terraform("output", "-json")).items():
        secret, value = output["sensitive"], output["value"]
        text = value if isinstance(value, str) else json.dumps(value)
        for character, code in {"%": "%AZP25", "\r": "%0D", "\n": "%0A"}.items():
            text = text.replace(character, code)
        properties = f"variable={name.upper()};isOutput=true;issecret={str(secret).lower()}"
        shown = "(sensitive)" if secret else text
        say(f"{name.upper()} = {shown}", f"##vso[task.setvariable {properties}]{text}")


def say(told: str, command: str = "") -> None:
    """Tell a person, and the agent where there is one."""
    print(told, *([command] if command and in_a_build() else []), sep="\n", flush=True)


def in_a_build() -> bool:
    return "TF_BUILD" in os.environ


def written() -> str:
    return (FOLDER / "terraform.tfvars").read_text(encoding="utf-8")


def says(line: str) -> bool:
    """Tell whether terraform.tfvars has this line, however it is aligned."""
    return line in [" ".join(one.split()) for one in written().splitlines()]


def names() -> dict[str, str]:
    """Return the project and what its environment is called."""
    own = dict(re.findall(r'^(\w+)\s*=\s*"(.*)"\s*$', written(), re.MULTILINE))
    given = {name: variable(name.upper()) or own[name] for name in OF_AN_ENVIRONMENT}
    targets = [of for file, named in OF_A_FILE.items() if (FOLDER / file).exists() for of in named.items()]
    return {"project": own["project"], **given, **{name: variable(called) for name, called in targets}}


def mesh(mine: dict[str, str]) -> dict[str, str]:
    """Return the newest revision of the mesh that the region offers, where there is to be a cluster.

    A cluster that is there keeps its own (aks.tf): `az aks mesh upgrade` moves it, and its pods, to a newer one.
    """
    if not mine.get("aks_compute_name"):
        return {}
    offered = (az("aks", "mesh", "get-revisions", "--location", mine["location"]) or {}).get("meshRevisions") or []
    if not (revisions := [one["revision"] for one in offered]):
        raise AzureError(f"{mine['location']} offers no mesh for Kubernetes: choose another LOCATION.")
    newest = max(revisions, key=lambda revision: [int(number) for number in re.findall(r"\d+", revision)])
    return {"mesh_revision": newest}


def existing(file: Path) -> Path:
    if not file.exists():
        raise AzureError(f"{file} is not there: download the artifact that `plan` left.")
    return file


def digest() -> str:
    return hashlib.sha256(PLAN.read_bytes()).hexdigest()


def blob() -> tuple[str, ...]:
    """Return where the plan of this build is kept."""
    return ("--container-name", CONTAINER, "--name", f"{names()['project']}/{setting('BUILD_BUILDID')}.tfplan")


def storage(*arguments: str) -> str:
    """Ask the state's storage account, by login and not by its key."""
    account = setting("TERRAFORM_BACKEND_STORAGE")
    remedy = f"whoever is logged in needs the role Storage Blob Data Contributor on {account}"
    where = ("--account-name", account, "--auth-mode", "login", "--only-show-errors")
    return run("az", "storage", *arguments, *where, remedy=remedy)


def terraform(*arguments: str, shown: bool = False) -> str:
    return run("terraform", *arguments, shown=shown, TF_IN_AUTOMATION="true", **login())


def login() -> dict[str, str]:
    """Return the environment in which Terraform logs in: as the service connection, or as whoever did `az login`.

    AzureCLI@2 sets AZURESUBSCRIPTION_* (microsoft/azure-pipelines-tasks, Tasks/AzureCLIV2/azureclitask.ts). The
    provider reads ARM_* (hashicorp/terraform-provider-azurerm, docs/guides/service_principal_oidc), and so does the
    state's backend since Terraform 1.11.2 (internal/backend/remote-state/azure/backend.go).
    """
    if not (connection := os.environ.get("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID")):
        shown = ("account", "show", "--query", "id", "--output", "tsv")
        return {"ARM_SUBSCRIPTION_ID": os.environ.get("SUBSCRIPTION_ID") or run("az", *shown, remedy="run `az login`")}
    if not os.environ.get("SYSTEM_ACCESSTOKEN"):
        raise AzureError("SYSTEM_ACCESSTOKEN is not set: run this by templates/azure.yml, with `accessToken: true`.")
    return {
        "ARM_USE_OIDC": "true",
        "ARM_USE_CLI": "false",
        "ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID": connection,
        "ARM_CLIENT_ID": setting("AZURESUBSCRIPTION_CLIENT_ID"),
        "ARM_TENANT_ID": setting("AZURESUBSCRIPTION_TENANT_ID"),
        "ARM_SUBSCRIPTION_ID": setting("SUBSCRIPTION_ID"),
        "ARM_OIDC_REQUEST_TOKEN": os.environ["SYSTEM_ACCESSTOKEN"],
        "ARM_OIDC_REQUEST_URL": setting("SYSTEM_OIDCREQUESTURI"),
    }


def run(tool: str, *arguments: str, remedy: str = "", shown: bool = False, **environment: str) -> str:
    """Run a program where the templates are. Returns what it printed, or shows it."""
    if not (path := shutil.which(tool)):
        raise AzureError(f"{tool} is not installed: install it, or let `install` fetch it in a build.")
    ended = subprocess.run(
        [path, *arguments],
        cwd=FOLDER,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=None if shown else subprocess.PIPE,
        text=True,
        check=False,
    )
    if ended.returncode:
        what = " ".join([tool, *takewhile(lambda word: not word.startswith("-"), arguments)])
        raise AzureError(f"`{what}` exited with {ended.returncode}: {remedy or 'see what it said above'}.")
    return (ended.stdout or "").strip()


COMMANDS: dict[str, Callable[[Path | None], None]] = {f.__name__: f for f in (install, init, plan, apply, outputs)}


def main() -> None:
    listed = "\n".join(f"  {name:9}{command.__doc__}" for name, command in COMMANDS.items())
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, epilog=f"commands:\n{listed}", formatter_class=form)
    parser.add_argument("command", choices=COMMANDS, metavar="command", help=", ".join(COMMANDS))
    written = f"what `plan` writes (in {HANDED_ON}, unless told otherwise), `init` and `apply` read"
    parser.add_argument("folder", nargs="?", type=Path, help=written)
    chosen = parser.parse_args()
    with program():
        COMMANDS[chosen.command](chosen.folder)


if __name__ == "__main__":
    main()
