"""What kustomize builds for the stages of a canary release."""

import shutil
import sys

from conftest import run

SERVING = {"nobody": [], "green": ["green"], "blue": ["blue"], "both": ["blue", "green"]}
IMAGE = f"testamlcr.azurecr.io/scoring@sha256:{'a' * 64}"
WRITE = """
import sys
from pathlib import Path
from deployment.aks.cluster import write
from deployment.aks.stages import Colour, State
folder, installs, *serving = sys.argv[1:]
new = Colour(IMAGE, "7", "a-digest")
write(Path(folder), installs or None, State(new, new, frozenset(serving)))
"""


def built(baked, folder):
    """Build the manifests for each way in which traffic is shared out, and each colour that is installed with it."""
    project, found = folder / "project", {}
    for part in ("deployment", "environment_setup"):
        shutil.copytree(baked.path / part, project / part)
    names = {
        "PROJECT": baked.answers["project_slug"],
        "K8S_AB_NAMESPACE": "a-namespace",
        "K8S_AB_HOST": "a.example.com",
    }
    for serving, colours in SERVING.items():
        for installs in (None, "blue", "green"):
            target = f"outputs/{serving}-{installs}"
            program = f"IMAGE = {IMAGE!r}\n{WRITE}"
            run(sys.executable, "-c", program, target, installs or "", *colours, cwd=project, **names)
            found[serving, installs] = folder / f"{serving}-{installs}.yaml"
            assert run("kubectl", "kustomize", target, "--output", found[serving, installs], cwd=project) == ""
    return found
