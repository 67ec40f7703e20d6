"""What kustomize builds for the stages of a canary release, and for a service."""

import shutil
import sys

from conftest import run

SERVING = {"nobody": [], "green": ["green"], "blue": ["blue"], "both": ["blue", "green"]}
IMAGE = f"testamlcr.azurecr.io/scoring@sha256:{'a' * 64}"
CANARY = """
import sys
from pathlib import Path
from deployment.aks.colours import write
from deployment.aks.stages import Colour, State
folder, installs, *serving = sys.argv[1:]
new = Colour(IMAGE, "7", "a-digest")
write(Path(folder), installs or None, State(new, new, frozenset(serving)))
"""
SERVICE = """
import sys
from pathlib import Path
from deployment.aks.rolling_update import write
write(Path(sys.argv[1]), IMAGE, "a-build")
"""


def built(baked, folder):
    """Build the manifests of a service, or for each way in which traffic is shared out, and each colour that comes."""
    project, found = folder / "project", {}
    for part in ("deployment", "environment_setup"):
        shutil.copytree(baked.path / part, project / part)
    answers = baked.answers
    names = {answers["__aks_namespace"]: "a-namespace", answers["__aks_host"]: "a.example.com"}
    program, releases = SERVICE, [("service", None)]
    if answers["aks"] == "canary":
        program, releases = CANARY, [(serving, installs) for serving in SERVING for installs in (None, "blue", "green")]
    for serving, installs in releases:
        target, file = f"outputs/{serving}-{installs}", folder / f"{serving}-{installs}.yaml"
        words = (f"IMAGE = {IMAGE!r}\n{program}", target, installs or "", *SERVING.get(serving, []))
        run(sys.executable, "-c", *words, cwd=project, PROJECT=answers["project_slug"], **names)
        assert run("kubectl", "kustomize", target, "--output", file, cwd=project) == ""
        found[serving, installs] = file
    return found
