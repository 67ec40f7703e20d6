"""Keep the files that the chosen answers bring, and only those."""

import json
import shutil
from pathlib import Path

# What finds the model of a build, for the pipelines that deploy it or score files with it.
OF_A_BUILD = (
    ".pipelines/templates/model-file.yml",
    ".pipelines/templates/model.yml",
    "ml_service/model_of_build.py",
    "tests/test_model_of_build.py",
)

# What deploys that model: an image, whatever runs it.
IMAGE = (
    *OF_A_BUILD,
    ".pipelines/cd.yml",
    ".pipelines/templates/scoring-image.yml",
    "deployment/key_vault.py",
    "deployment/target.py",
    "deployment/image/Dockerfile",
    "deployment/image/build.py",
    "deployment/registry.py",
    "docs/deployment.md",
    "ml_service/fetch.py",
    "tests/test_fetch.py",
    "tests/test_image.py",
)
CONTAINER_GROUP = (
    "environment_setup/arm-templates/aci.json",
    "environment_setup/arm-templates/aci.parameters.json",
    "environment_setup/tf-templates/aci.tf",
    "environment_setup/tf-templates/tests/aci.tftest.hcl",
)
CLUSTER = (
    "environment_setup/arm-templates/aks.json",
    "environment_setup/arm-templates/aks.parameters.json",
    "environment_setup/tf-templates/aks.tf",
    "environment_setup/tf-templates/tests/aks.tftest.hcl",
)
KUBERNETES = (
    *IMAGE,
    *CLUSTER,
    "deployment/aks/cluster.py",
    "deployment/aks/manifests",
    "tests/test_cluster.py",
)

RELEASE = (*IMAGE, ".pipelines/templates/deploy.yml", "deployment/release.py")
ACI = (*RELEASE, *CONTAINER_GROUP, "deployment/aci")
AKS = (*RELEASE, *KUBERNETES, "deployment/aks/rolling_update.py", "tests/test_rolling_update.py")
WEB_APP = (
    *RELEASE,
    "deployment/web_app",
    "environment_setup/arm-templates/web-app.json",
    "environment_setup/arm-templates/web-app.parameters.json",
    "environment_setup/tf-templates/tests/web_app.tftest.hcl",
    "environment_setup/tf-templates/web_app.tf",
)
CANARY = (
    *KUBERNETES,
    ".pipelines/templates/canary.yml",
    ".pipelines/templates/canary-job.yml",
    ".pipelines/templates/canary-stage.yml",
    "deployment/aks/canary.py",
    "deployment/aks/colours.py",
    "deployment/aks/load_test.py",
    "deployment/aks/manifests/overlays",
    "deployment/aks/stages.py",
    "docs/canary.md",
    "tests/test_canary.py",
    "tests/test_colours.py",
    "tests/test_load_test.py",
    "tests/test_stages.py",
)

BATCH = (
    *OF_A_BUILD,
    ".pipelines/batch-scoring.yml",
    ".pipelines/templates/score-files.yml",
    "docs/batch-scoring.md",
    "ml_service/batch_pipeline.py",
    "ml_service/batch_settings.py",
    "ml_service/batch_submit.py",
    "ml_service/batch_wait.py",
    "src/score_batches.py",
    "src/{package_name}/batch.py",
    "src/{package_name}/batch_input.py",
    "src/{package_name}/batch_output.py",
    "src/{package_name}/batch_publish.py",
    "src/{package_name}/batch_step.py",
    "src/{package_name}/choose.py",
    "src/{package_name}/score_file.py",
    "tests/test_batch.py",
    "tests/test_batch_step.py",
    "requirements/batch.txt",
)

# question -> answer -> the paths that this answer brings, written with {package_name} and the like.
# A path named here stays if a chosen answer names it. Every other path always stays.
BROUGHT_BY = {
    "deploy_aci": {True: ACI, False: ()},
    "deploy_webapp": {True: WEB_APP, False: ()},
    "aks": {"none": (), "service": AKS, "canary": CANARY},
    "batch_scoring": {True: BATCH, False: ()},
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
    """Return the paths that no chosen answer brings, but not what goes with a folder of them.

    An answer that the table does not know is a KeyError.
    """
    offered, chosen = set(), set()
    for question, answer_brings in brought_by.items():
        offered.update(*answer_brings.values())
        chosen.update(answer_brings[answers[question]])
    gone = {path.format_map(answers) for path in offered - chosen}
    return sorted(path for path in gone if not any(str(folder) in gone for folder in Path(path).parents))


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
