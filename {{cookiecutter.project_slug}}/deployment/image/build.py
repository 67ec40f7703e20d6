"""Build the scoring image unless the registry has one of this content, and write its name with the digest.

Its tag is a digest over what gets in, and /healthz tells it. What is deployed is a digest, never a tag. BASE_NAME says
which registry, SCORING_IMAGE_NAME which repository.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from deployment.registry import tags
from environment_setup.azure_cli import AzureError, az, program, setting, show

PACKAGE = "{{ cookiecutter.package_name }}"
# What app.py imports, and nothing that trains: a change elsewhere makes no new image. tests/test_image.py compares.
SERVES = ("__init__", "app", "keys", "model", "predictor", "program", "protocol", "request_log", "scoring")
CONTEXT, DOCKERFILE = Path("outputs/scoring-image"), Path("deployment/image/Dockerfile")
LOCK = "requirements/score.txt"


def judged(file: Path) -> tuple[str, int]:
    """Return name and version of the model that was judged."""
    try:
        model = json.loads(file.read_text(encoding="utf-8"))
        return model["name"], int(model["version"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise AzureError(f"{file} names no model ({error!r}): it is the artifact `model` of a build.") from error


def stage(folder: Path) -> str:
    """Make the build context anew, of what `ml_service.fetch` wrote and what serves it, and return its tag."""
    if not (folder / "model.json").is_file() or not (folder / "model").is_dir():
        raise AzureError(f"{folder} holds no model: `python -m ml_service.fetch --output {folder}` fetches it.")
    _, version = judged(folder / "model.json")
    shutil.rmtree(CONTEXT, ignore_errors=True)
    shutil.copytree(folder / "model", CONTEXT / "serving" / "model")
    shutil.copy(folder / "model.json", CONTEXT / "serving")
    shutil.copy(DOCKERFILE, CONTEXT)
    for file in (LOCK, *(f"{PACKAGE}/{module}.py" for module in SERVES)):
        (CONTEXT / file).parent.mkdir(exist_ok=True)
        shutil.copy(file if file == LOCK else f"src/{file}", CONTEXT / file)
    return f"v{version}-{digest(CONTEXT)}"


def digest(folder: Path) -> str:
    """Return a digest over the paths and bytes of a folder, whatever the modes, the times and the file system."""
    content = hashlib.sha256()
    for name in sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()):
        content.update(f"{name}\0{hashlib.sha256((folder / name).read_bytes()).hexdigest()}\n".encode())
    return content.hexdigest()[:40]


def build(registry: str, repository: str, tag: str) -> dict[str, Any]:
    """Build in the registry, show the log, and return the run."""
    where = ("--registry", registry)
    named = ("--image", f"{repository}:{tag}", "--build-arg", f"IMAGE_ID={tag}")
    what = ("--file", str(CONTEXT / DOCKERFILE.name), "--platform", "linux/amd64")
    queued = az("acr", "build", *where, *named, *what, "--no-wait", str(CONTEXT))
    show("acr", "task", "logs", *where, "--run-id", queued["runId"])
    run: dict[str, Any] = az("acr", "task", "show-run", *where, "--run-id", queued["runId"])
    return run


def built(run: dict[str, Any], repository: str) -> str:
    """Return the digest that a run has pushed."""
    outputs = run.get("outputImages") or []
    digests = {one["digest"] for one in outputs if one.get("repository") == repository}
    if run.get("status") != "Succeeded" or len(digests) != 1:
        ended = f"Run {run.get('runId')} of the registry ended with {run.get('status')}"
        raise AzureError(f"{ended} and pushed no image: see its log above.")
    return str(digests.pop())


def pushed(registry: str, repository: str, tag: str) -> str:
    """Return the digest of the image with this tag, built if need be."""
    if digest := tags(registry, repository).get(tag):
        print(f"The registry has {repository}:{tag} already: nothing to build.")
        return digest
    return built(build(registry, repository, tag), repository)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default="outputs/serving", type=Path, help="model/ and model.json (%(default)s)")
    parser.add_argument("--output", default="image.txt", type=Path, help="where to write its name (%(default)s)")
    arguments = parser.parse_args()
    with program():
        registry, repository = f"{setting('BASE_NAME').lower()}amlcr", setting("SCORING_IMAGE_NAME")
        digest = pushed(registry, repository, stage(arguments.folder))
        image = f"{registry}.azurecr.io/{repository}@{digest}"
        if not re.fullmatch(r"[a-z0-9.]+/[a-z0-9._/-]+@sha256:[0-9a-f]{64}", image):
            raise AzureError(f"The registry names no digest of the image: {image!r}.")
        arguments.output.write_text(f"{image}\n", encoding="utf-8")
        print(f"The image is {image}.")
        if "TF_BUILD" in os.environ:
            print(f"##vso[task.setvariable variable=IMAGE;isOutput=true]{image}")


if __name__ == "__main__":
    main()
