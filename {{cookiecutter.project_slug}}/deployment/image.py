"""Build the scoring image in the registry, and write its name with the digest: nothing else is ever deployed.

BASE_NAME says which registry, SCORING_IMAGE_NAME which repository. The folder is what `ml_service.fetch` wrote.
"""

import argparse
import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from environment_setup.azure_cli import AzureError, az, program, setting, show

DOCKERFILE = "deployment/Dockerfile"
COPIED = Path("outputs/serving")  # where the Dockerfile finds the model
TAG = re.compile(r"(\d+|local)-\d{20}")
BUILD = re.compile(r"build-(\d+)")


def place(folder: Path) -> None:
    """Put the model where the Dockerfile copies it from."""
    if not (folder / "model.json").is_file() or not (folder / "model").is_dir():
        raise AzureError(f"{folder} holds no model: `python -m ml_service.fetch --output {folder}` fetches it.")
    if folder.resolve() != COPIED.resolve():
        shutil.rmtree(COPIED, ignore_errors=True)
        shutil.copytree(folder, COPIED)


def tag() -> str:
    """Return a name that no other build has. It is never deployed by it, but /healthz tells it."""
    return f"{os.environ.get('BUILD_BUILDID') or 'local'}-{datetime.now(tz=UTC):%Y%m%d%H%M%S%f}"


def release_build() -> int:
    """Return the number of the build that is released, or 0 for a release by hand."""
    number = os.environ.get("RELEASE_BUILD", "").strip()
    if not number or number.startswith("$("):
        return 0
    if not re.fullmatch("[0-9]+", number):
        raise AzureError(f"RELEASE_BUILD is {number!r}: it must be the number of a build, or blank.")
    return int(number)


def tags(registry: str, repository: str) -> dict[str, str]:
    """Return the tags of a repository, each with the digest that it names; none where nothing was ever pushed."""
    if repository not in az("acr", "repository", "list", "--name", registry):
        return {}
    of = ("--name", registry, "--repository", repository, "--detail")
    return {one["name"]: one["digest"] for one in az("acr", "repository", "show-tags", *of)}


def tags_of(image: str) -> list[str]:
    """Return the tags of an image, registry/repository@sha256:...; none where the registry has it no more."""
    name, _, wanted = image.partition("@")
    registry, _, repository = name.partition("/")
    found = tags(registry.partition(".")[0], repository) if wanted else {}
    return [tag for tag in found if found[tag] == wanted]


def number(image: str) -> int:
    """Return the number of the latest build that released an image; 0 if none did."""
    return max((int(found[1]) for tag in tags_of(image) if (found := BUILD.fullmatch(tag))), default=0)


def build(registry: str, repository: str, tag: str) -> dict[str, Any]:
    """Build in the registry, show the log, and return the run."""
    where = ("--registry", registry)
    what = ("--image", f"{repository}:{tag}", "--build-arg", f"IMAGE_ID={tag}", "--file", DOCKERFILE)
    queued = az("acr", "build", *where, *what, "--platform", "linux/amd64", "--no-wait", ".")
    show("acr", "task", "logs", *where, "--run-id", queued["runId"])
    run: dict[str, Any] = az("acr", "task", "show-run", *where, "--run-id", queued["runId"])
    return run


def built(run: dict[str, Any], repository: str) -> str:
    """Return the image that a run has pushed, by its digest."""
    pushed = [one for one in run.get("outputImages") or [] if one.get("repository") == repository]
    if run.get("status") != "Succeeded" or len(pushed) != 1:
        ended = f"Run {run.get('runId')} of the registry ended with {run.get('status')}"
        raise AzureError(f"{ended} and pushed no image: see its log above.")
    image = f"{pushed[0]['registry']}/{repository}@{pushed[0]['digest']}"
    if not re.fullmatch(r"[a-z0-9.]+/[a-z0-9._/-]+@sha256:[0-9a-f]{64}", image):
        raise AzureError(f"The registry names no digest of the image: {image}.")
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default=COPIED, type=Path, help="model/ and model.json (%(default)s)")
    parser.add_argument("--output", default="image.txt", type=Path, help="where to write its name (%(default)s)")
    arguments = parser.parse_args()
    with program():
        registry, repository = f"{setting('BASE_NAME').lower()}amlcr", setting("SCORING_IMAGE_NAME")
        place(arguments.folder)
        image = built(build(registry, repository, tag()), repository)
        arguments.output.write_text(f"{image}\n", encoding="utf-8")
        print(f"Built {image}.")
        if "TF_BUILD" in os.environ:
            print(f"##vso[task.setvariable variable=IMAGE;isOutput=true]{image}")


if __name__ == "__main__":
    main()
