"""Keep the files that the chosen answers bring, and only those."""

import json
import shutil
from pathlib import Path

# question -> answer -> the paths that this answer brings, written with {package_name} and the like.
# A path named here stays if a chosen answer names it. Every other path always stays.
SERVICE_OF_AZURE_ML = [
    "deployment/inference.yml",
    "requirements/inference.txt",
    "src/{package_name}/score.py",
    "tests/test_score.py",
]
BROUGHT_BY = {
    "deploy_aci": {True: SERVICE_OF_AZURE_ML, False: []},
    "deploy_webapp": {True: [], False: []},
    "aks": {"none": [], "service": SERVICE_OF_AZURE_ML, "canary": []},
    "batch_scoring": {True: ["requirements/batch.txt"], False: []},
    "infrastructure": {
        "arm": [
            ".pipelines/templates/arm-deploy.yml",
            ".pipelines/templates/arm-plan.yml",
            "environment_setup/arm-templates",
            "environment_setup/arm.py",
        ],
        "terraform": [
            ".pipelines/templates/terraform-deploy.yml",
            ".pipelines/templates/terraform-plan.yml",
            "environment_setup/terraform.py",
            "environment_setup/tf-templates",
        ],
    },
}


def unwanted(answers, brought_by):
    """Return the paths that no chosen answer brings. An answer that the table does not know is a KeyError."""
    offered, chosen = set(), set()
    for question, answer_brings in brought_by.items():
        offered.update(*answer_brings.values())
        chosen.update(answer_brings[answers[question]])
    return sorted(path.format_map(answers) for path in offered - chosen)


def remove(path):
    """Delete a file or a folder, and the folders that this leaves empty. A path that is not there is an error."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    if path.parent != Path() and not any(path.parent.iterdir()):
        remove(path.parent)


def main():
    answers = json.loads(r"""{{ cookiecutter | tojson }}""")
    for path in unwanted(answers, BROUGHT_BY):
        remove(Path(path))


if __name__ == "__main__":
    main()
