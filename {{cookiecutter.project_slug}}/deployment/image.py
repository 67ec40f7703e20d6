"""Build the scoring image unless the registry has one of this content, and write its name with the digest.

Its tag is a digest over what gets in, and /healthz tells it. A release adds the tag `build-<RELEASE_BUILD>`. What is
deployed is a digest, never a tag. BASE_NAME says which registry, SCORING_IMAGE_NAME which repository.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from environment_setup.azure_cli import AzureError, az, program, setting, show

PACKAGE = "{{ cookiecutter.package_name }}"
# What app.py imports, and nothing that trains: a change elsewhere makes no new image. tests/test_image.py compares.
SERVES = ("__init__", "app", "keys", "model", "predictor", "program", "protocol", "request_log", "scoring")
CONTEXT = Path("outputs/scoring-image")
DOCKERFILE, LOCK = "Dockerfile", "requirements/score.txt"
CONTENT = re.compile(r"v\d+-[0-9a-f]{40}")
BUILD = re.compile(r"build-(\d+)")


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
    shutil.copy(f"deployment/{DOCKERFILE}", CONTEXT)
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


def release_build() -> int:
    """Return the number of the build that is released, or 0 for a release by hand."""
    number = os.environ.get("RELEASE_BUILD", "").strip()
    if not number or number.startswith("$("):
        return 0
    if not re.fullmatch("[0-9]+", number):
        raise AzureError(f"RELEASE_BUILD is {number!r}: it must be the number of a build, or blank.")
    return int(number)


@cache  # what serves and what is to come are often of one repository
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


def one_registry(image: str, other: str) -> bool:
    return image.partition("/")[0] == other.partition("/")[0]


def check_order(former: Iterable[str], image: str) -> None:
    """Raise that a later build serves, unless somebody goes back on purpose. Another registry is not asked."""
    build = release_build()
    later = max((number(one) for one in former if build and one_registry(one, image)), default=0)
    if later <= build:
        return
    if os.environ.get("GOING_BACK", "").strip().lower() != "true":
        raise AzureError(
            f"Build {build} is older than what serves, build {later}: it is not deployed. "
            "To go back on purpose, start cd by hand with its modelBuildId; without one, cd brings the champion."
        )
    print(f"Going back from build {later}.", flush=True)


def content(image: str) -> str:
    """Return the tag that tells the content of an image; blank if it has not just one."""
    found = [tag for tag in tags_of(image) if CONTENT.fullmatch(tag)]
    return found[0] if len(found) == 1 else ""


def tell_same(compare: Callable[[], bool]) -> None:
    """Tell the build whether a target serves a release already. One that cannot be asked does not, and fails later."""
    try:
        same = compare()
    except AzureError as error:
        same = False
        print(f"{'##vso[task.logissue type=warning]' if 'TF_BUILD' in os.environ else ''}{error}")
    if "TF_BUILD" in os.environ:
        print(f"##vso[task.setvariable variable=SAME;isOutput=true]{str(same).lower()}")


def build(registry: str, repository: str, names: list[str]) -> dict[str, Any]:
    """Build in the registry, show the log, and return the run."""
    where = ("--registry", registry)
    images = (word for name in names for word in ("--image", f"{repository}:{name}"))
    what = ("--build-arg", f"IMAGE_ID={names[0]}", "--file", str(CONTEXT / DOCKERFILE), "--platform", "linux/amd64")
    queued = az("acr", "build", *where, *images, *what, "--no-wait", str(CONTEXT))
    show("acr", "task", "logs", *where, "--run-id", queued["runId"])
    run: dict[str, Any] = az("acr", "task", "show-run", *where, "--run-id", queued["runId"])
    return run


def built(run: dict[str, Any], repository: str) -> str:
    """Return the digest that a run has pushed."""
    outputs = run.get("outputImages") or []
    pushed = {one["digest"] for one in outputs if one.get("repository") == repository}
    if run.get("status") != "Succeeded" or len(pushed) != 1:
        ended = f"Run {run.get('runId')} of the registry ended with {run.get('status')}"
        raise AzureError(f"{ended} and pushed no image: see its log above.")
    return str(pushed.pop())


def add_tag(registry: str, repository: str, digest: str, tag: str) -> None:
    """Have the registry give an image that it holds a further tag."""
    source = ("--registry", az("acr", "show", "--name", registry)["id"], "--source", f"{repository}@{digest}")
    az("acr", "import", "--name", registry, *source, "--image", f"{repository}:{tag}", "--force")


def release(registry: str, repository: str, names: list[str]) -> str:
    """Return the digest of the image whose tag comes first, built if need be, and see that it has the others too."""
    known = tags(registry, repository)
    if names[0] not in known:
        return built(build(registry, repository, names), repository)
    digest = known[names[0]]
    print(f"The registry has {repository}:{names[0]} already: nothing to build.")
    for tag in names[1:]:
        if known.get(tag) != digest:
            add_tag(registry, repository, digest, tag)
    return digest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default="outputs/serving", type=Path, help="model/ and model.json (%(default)s)")
    parser.add_argument("--output", default="image.txt", type=Path, help="where to write its name (%(default)s)")
    arguments = parser.parse_args()
    with program():
        registry, repository = f"{setting('BASE_NAME').lower()}amlcr", setting("SCORING_IMAGE_NAME")
        names = [f"build-{number}"] if (number := release_build()) else []
        digest = release(registry, repository, [stage(arguments.folder), *names])
        image = f"{registry}.azurecr.io/{repository}@{digest}"
        if not re.fullmatch(r"[a-z0-9.]+/[a-z0-9._/-]+@sha256:[0-9a-f]{64}", image):
            raise AzureError(f"The registry names no digest of the image: {image!r}.")
        arguments.output.write_text(f"{image}\n", encoding="utf-8")
        print(f"The image is {image}.")
        if "TF_BUILD" in os.environ:
            print(f"##vso[task.setvariable variable=IMAGE;isOutput=true]{image}")


if __name__ == "__main__":
    main()
