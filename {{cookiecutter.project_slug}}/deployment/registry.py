"""What the registry tells of scoring images: the tag of an image's content, and which build released it to a target.

Where a release begins at a target, or finds that it serves already, its image gets the tag `<target>-<RELEASE_BUILD>`.
"""

import os
import re
from collections.abc import Callable, Iterable
from functools import cache

from environment_setup.azure_cli import AzureError, az, plain

CONTENT = re.compile(r"v\d+-[0-9a-f]{40}")
# learn.microsoft.com/azure/role-based-access-control/built-in-roles: AcrPull, AcrPush, Contributor, Owner, and the
# reader of repositories where rights are by repository
MAY_PULL = {
    "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    "8311e382-0749-4cb8-b61a-304f252e45ec",
    "b24988ac-6180-42a0-ab88-20f7382dd24c",
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
    "b93aa761-3e63-49ed-ac28-beffa264f7ac",
}


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


def parts(image: str) -> tuple[str, str, str]:
    """Return registry, repository and digest of an image, registry.azurecr.io/repository@sha256:..."""
    name, _, digest = image.partition("@")
    host, _, repository = name.partition("/")
    return host.partition(".")[0], repository, digest


def tags_of(image: str) -> list[str]:
    """Return the tags of an image; none where the registry has it no more."""
    registry, repository, wanted = parts(image)
    found = tags(registry, repository) if wanted else {}
    return [tag for tag in found if found[tag] == wanted]


def content(image: str) -> str:
    """Return the tag that tells the content of an image; blank if it has not just one."""
    found = [tag for tag in tags_of(image) if CONTENT.fullmatch(tag)]
    return found[0] if len(found) == 1 else ""


def number(target: str, image: str) -> int:
    """Return the number of the latest build that released an image to a target; 0 if none did."""
    found = (re.fullmatch(rf"{target}-(\d+)", tag) for tag in tags_of(image))
    return max((int(one[1]) for one in found if one), default=0)


def one_registry(image: str, other: str) -> bool:
    return image.partition("/")[0] == other.partition("/")[0]


def take_turn(target: str, former: Iterable[str], image: str) -> None:
    """Raise that a later build brought a former image, unless somebody goes back; else give this one its number.

    An image of another registry is not asked about.
    """
    build = release_build()
    later = max((number(target, one) for one in former if build and one_registry(one, image)), default=0)
    if later > build:
        if os.environ.get("GOING_BACK", "").strip().lower() != "true":
            raise AzureError(
                f"Build {build} is older than build {later}, which was released before it: it is not deployed. "
                "To go back on purpose, start cd by hand with its modelBuildId; without one, cd brings the champion."
            )
        print(f"Going back from build {later}.", flush=True)
    mark(target, image)


def mark(target: str, image: str) -> None:
    """Have the registry say that a target has this image by this build, or a later one."""
    tag = f"{target}-{release_build()}"
    if not release_build() or tag in tags_of(image):
        return
    registry, repository, digest = parts(image)
    source = ("--registry", az("acr", "show", "--name", registry)["id"], "--source", f"{repository}@{digest}")
    az("acr", "import", "--name", registry, *source, "--image", f"{repository}:{tag}", "--force")


def check_pull(who: str, identity: str, image: str) -> None:
    """Raise that an identity may not pull from an image's registry, with the command that mends it."""
    registry = az("acr", "show", "--name", parts(image)[0])["id"]
    roles = az(
        *("role", "assignment", "list", "--assignee-object-id", identity, "--scope", registry),
        *("--include-groups", "--include-inherited"),
        *("--fill-principal-name", "false", "--fill-role-definition-name", "false"),
    )
    if MAY_PULL & {one["roleDefinitionId"].rpartition("/")[2] for one in roles}:
        return
    mend = assign("AcrPull", identity, registry)
    if not roles:
        raise AzureError(f"{who} may not pull from {registry}: `{mend}` lets it.")
    print(f"warning: {who} has other roles at {registry}. If they do not let it pull, `{mend}` does.", flush=True)


def assign(role: str, identity: str, scope: str) -> str:
    """Return the command that gives an identity a role. Whoever runs it must be allowed to."""
    whom = f"--assignee-object-id {identity} --assignee-principal-type ServicePrincipal"
    return f'az role assignment create --role "{role}" {whom} --scope "{scope}"'


def tell_same(variable: str, compare: Callable[[], bool]) -> None:
    """Set a variable to whether a target serves a release. One that cannot be asked does not, and fails later."""
    try:
        same = compare()
    except AzureError as error:
        same = False
        print(f"{'##vso[task.logissue type=warning]' if 'TF_BUILD' in os.environ else ''}{plain(str(error))}")
    if "TF_BUILD" in os.environ:
        print(f"{variable}{str(same).lower()}")
