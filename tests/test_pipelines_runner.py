"""The runner of pipelines itself: it takes what Azure Pipelines takes, and refuses what is wrong there."""

import pytest

from pipelines_runner.errors import PipelineError
from pipelines_runner.expressions import evaluate
from pipelines_runner.runner import Agent
from pipelines_runner.tasks import TASKS
from pipelines_runner.templates import Known

VARIABLES = {"variables": Known({"Name": "Value", "empty": "", "Build.Reason": "Manual"})}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("variables.name", "Value"),
        ("variables['Build.Reason']", "Manual"),
        ("eq(variables.Name, 'value')", True),
        ("eq(true, 'True')", True),
        ("eq('True', true)", True),
        ("ne(1, '1.0')", False),
        ("and(true, not(false), or(false, eq(1, 1)))", True),
        ("in('b', 'a', 'B')", True),
        ("notIn('c', 'a', 'b')", True),
        ("coalesce('', variables.empty, 'last')", "last"),
        ("format('{0}-{1}', 'a', 2)", "a-2"),
        ("iif(eq(variables.empty, ''), 'yes', 'no')", "yes"),
        ("contains('ABC', 'b')", True),
        ("trim('  a ')", "a"),
        ("'it''s'", "it's"),
        ("replace('a-b', '-', '_')", "a_b"),
    ],
)
def test_expressions_are_evaluated_as_azure_pipelines_does(expression, value):
    assert evaluate(expression, VARIABLES) == value


@pytest.mark.parametrize(
    "expression",
    [
        "variables.nobody",
        "parameters.x",
        "eq(1",
        "eq(1, 2))",
        "unknown()",
        "eq(1)",
        "'open",
        "a b",
        "eq(,)",
        "succeeded(",
    ],
)
def test_expressions_that_are_wrong_are_refused(expression):
    with pytest.raises(PipelineError):
        evaluate(expression, VARIABLES)


JOB = "- job: one\n  pool: {vmImage: ubuntu-24.04}\n  steps:\n"


@pytest.fixture
def build(tmp_path):
    """Return a function that runs a pipeline of these files, the first one the root."""

    def build(files, **parameters):
        root = tmp_path / "root"
        root.mkdir()
        for name, content in files.items():
            (root / name).write_text(content, encoding="utf-8")
        groups, environment = {"group": {"IN_GROUP": "grouped"}}, {"PATH": "/usr/bin:/bin"}
        local = Agent(root, tmp_path / "agent", TASKS, groups, frozenset(), environment, {})
        return local.run(next(iter(files)), **parameters)

    return build


def told(build):
    return "".join(step.told for step in build.steps())


def test_steps_hand_on_variables_secrets_and_results(build):
    steps = (
        "  - script: echo '##vso[task.setvariable variable=A]one'\n"
        "  - script: echo '##vso[task.setvariable variable=B;isOutput=true]two'\n    name: named\n"
        "  - script: echo '##vso[task.setvariable variable=S;issecret=true]hidden'\n"
        '  - script: echo "$(A) $(named.B) $A [$S]"\n'
        "  - script: exit 3\n"
        "  - script: echo never\n"
        "  - script: echo after\n    condition: failed()\n"
    )

    ran = build({"root.yml": f"jobs:\n{JOB}{steps}"})

    assert ran.result == "Failed"
    assert "one two one []" in told(ran)
    assert "hidden" not in told(ran)
    assert [step.result for step in ran.steps()][-3:] == ["Failed", "Skipped", "Succeeded"]


def test_templates_take_parameters_lists_and_choices(build):
    files = {
        "root.yml": "jobs:\n- template: job.yml\n  parameters:\n    steps:\n    - template: said.yml\n"
        "      parameters: {words: [a, b]}\n",
        "job.yml": "parameters:\n- {name: steps, type: stepList}\njobs:\n" + JOB + "  - ${{ parameters.steps }}\n",
        "said.yml": "parameters:\n- {name: words, type: object}\nsteps:\n"
        "- ${{ each word in parameters.words }}:\n  - script: echo said ${{ word }}\n"
        "- ${{ if eq(length(parameters.words), 9) }}:\n  - script: echo nine\n"
        "- ${{ elseif eq(length(parameters.words), 2) }}:\n  - script: echo two\n"
        "- ${{ else }}:\n  - script: echo other\n",
    }

    assert told(build(files)).split("\n")[:3] == ["said a", "said b", "two"]


def test_jobs_that_do_not_depend_run_in_an_order_that_nobody_wrote(build):
    jobs = JOB + "  - script: echo first\n" + JOB.replace("one", "two") + "  - script: echo second\n"

    ran = build({"root.yml": f"jobs:\n{jobs}"})

    assert list(ran.stages[""].jobs) == ["two", "one"]


@pytest.mark.parametrize(
    "content",
    [
        "jobs:\n- job: one\n  steps:\n  - script: echo\n",
        f"jobs:\n{JOB}  - script: echo $(NOBODY)\n",
        f"jobs:\n{JOB}  - task: Unknown@1\n",
        f"jobs:\n{JOB}  - scripts: echo\n",
        f"jobs:\n{JOB}  - script: echo\n    conditions: always()\n",
        f"jobs:\n{JOB.replace('one', 'a-b')}  - script: echo\n",
        f"jobs:\n{JOB}  - script: echo\n{JOB}  - script: echo\n",
        f"jobs:\n{JOB.replace('steps', 'dependsOn: two' + chr(10) + '  steps')}  - script: echo\n",
        f"jobs:\n{JOB}  - template: nobody.yml\n",
        f"jobs:\n{JOB}  - script: echo ${{{{ variables.IN_GROUP }}}}\nvariables:\n- group: group\n",
        "variables:\n- group: nobody\njobs: []\n",
        f"unknown: 1\njobs:\n{JOB}  - script: echo\n",
        f"jobs:\n{JOB}  - script: &anchor echo\n",
        f"jobs:\n{JOB}  - script: echo\n    script: twice\n",
        f"jobs:\n{JOB}  - task: ManualValidation@1\n",
        "jobs:\n- job: one\n  pool: server\n  steps:\n  - script: echo\n",
    ],
)
def test_what_is_wrong_is_refused(build, content):
    with pytest.raises(PipelineError):
        build({"root.yml": content})
