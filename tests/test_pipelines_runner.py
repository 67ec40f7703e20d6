"""The runner of pipelines itself: it takes what Azure Pipelines takes, and refuses what is wrong there."""

from textwrap import indent

import pytest

from pipelines_runner.errors import PipelineError
from pipelines_runner.expressions import evaluate
from pipelines_runner.locks import APPROVAL, LOCK
from pipelines_runner.runner import RUNS, Agent
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


POOL = "  pool: {vmImage: ubuntu-24.04}\n"
JOB = f"- job: one\n{POOL}  steps:\n"
DEPLOYMENT = f"- deployment: one\n{POOL}  environment: test\n  strategy:\n    runOnce:\n      deploy:\n        steps:\n"
NOTHING = "        - download: none\n"


@pytest.fixture
def agent(tmp_path):
    """Return a function that makes an agent for a repository of these files."""

    def agent(files):
        root = tmp_path / "root"
        root.mkdir()
        for name, content in files.items():
            (root / name).write_text(content, encoding="utf-8")
        groups, environment = {"group": {"IN_GROUP": "grouped"}}, {"PATH": "/usr/bin:/bin"}
        predefined, named = {"Build.SourceBranch": "refs/heads/main"}, {"first": "first.yml"}
        return Agent(root, tmp_path / "agent", TASKS, groups, frozenset(), environment, predefined, pipelines=named)

    return agent


@pytest.fixture
def build(agent):
    """Return a function that runs a pipeline of these files, the first one the root."""
    return lambda files, **parameters: agent(files).run(next(iter(files)), **parameters)


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


def test_outputs_of_a_deployment_job_stand_under_its_name(build):
    sets = "        - script: echo '##vso[task.setvariable variable=A;isOutput=true]set'\n          name: set\n"
    reads = (
        f"- job: two\n  dependsOn: one\n{POOL}  steps:\n  - script: echo '[$(A)] [$(B)]'\n  variables:\n"
        "    A: $[ dependencies.one.outputs['one.set.A'] ]\n    B: $[ dependencies.one.outputs['set.A'] ]\n"
    )
    first = indent(f"{DEPLOYMENT}{NOTHING}{sets}{reads}", "  ")
    second = indent(f"condition: eq(dependencies.first.outputs['one.one.set.A'], 'set')\njobs:\n{JOB}", "  ")

    ran = build({"root.yml": f"stages:\n- stage: first\n  jobs:\n{first}- stage: second\n{second}    - script: echo\n"})

    assert "[set] []" in told(ran)
    assert ran.stages["second"].result == "Succeeded"


@pytest.mark.parametrize(
    ("condition", "result"),
    [
        ("succeeded()", "Skipped"),
        ("succeeded('two')", "Succeeded"),
        ("failed()", "Skipped"),
        ("in(dependencies.two.result, 'Succeeded')", "Succeeded"),
    ],
)
def test_success_is_asked_of_all_that_went_before_unless_a_name_is_given(build, condition, result):
    stages = [("one", "false", ""), ("two", "always()", "one"), ("three", condition, "two")]
    jobs = indent(f"jobs:\n{JOB}  - script: echo\n", "  ")
    written = [f"- stage: {name}\n  dependsOn: [{needs}]\n  condition: {when}\n{jobs}" for name, when, needs in stages]

    assert build({"root.yml": f"stages:\n{''.join(written)}"}).stages["three"].result == result


def test_a_condition_names_what_it_depends_on(build):
    second = JOB.replace("one", "two") + "  - script: echo\n  condition: succeeded('one')\n"

    with pytest.raises(PipelineError, match="asks for one, which it does not depend on"):
        build({"root.yml": f"jobs:\n{JOB}  - script: echo\n{second}"})


@pytest.mark.parametrize("checkout", ["", "        - checkout: self\n"], ids=["without", "with"])
def test_a_deployment_job_has_the_sources_only_if_it_asks_for_them(build, checkout):
    ran = build({"root.yml": f"jobs:\n{DEPLOYMENT}{NOTHING}{checkout}        - script: ls\n"})

    assert ("root.yml" in told(ran)) == bool(checkout)


FIRST = f"jobs:\n{JOB}  - script: echo $(Build.BuildId) > id\n  - publish: id\n    artifact: kept\n"
RESOURCE = "resources:\n  pipelines:\n  - pipeline: ci\n    source: first\n    trigger: {branches: {include: [main]}}\n"
FETCHES = (
    f"{RESOURCE}jobs:\n{JOB}  - download: ci\n    artifact: kept\n"
    "  - script: echo $(Build.Reason) [$(resources.triggeringAlias)] $(cat $(Pipeline.Workspace)/ci/kept/id)\n"
)


def test_a_pipeline_that_another_starts_is_about_that_run_and_by_hand_about_the_latest(agent):
    local = agent({"first.yml": FIRST, "second.yml": FETCHES.replace("$(Build.Reason)", "about")})
    one, two = local.run("first.yml"), local.run("first.yml")

    assert f"about [ci] {one.number}\n" in told(local.run("second.yml", after=one))
    assert f"about [] {two.number}\n" in told(local.run("second.yml"))
    two.branch = "refs/heads/other"
    with pytest.raises(PipelineError, match=r"does not start when first\.yml ends as Succeeded on refs/heads/other"):
        local.run("second.yml", after=two)
    one.stages[""].result = "Failed"
    with pytest.raises(PipelineError, match=r"does not start when first\.yml ends as Failed"):
        local.run("second.yml", after=one)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("source: first", "source: nobody"),
        ("source: first", "sources: first"),
        ("source: first", "source: ${{ variables.NAME }}"),
        ("pipelines:", "repositories:"),
        ("include: [main]", "include: [main], exclude: [x]"),
        ("download: ci", "download: nobody"),
    ],
)
def test_a_resource_that_is_wrong_is_refused(agent, old, new):
    assert old in FETCHES
    local = agent({"first.yml": FIRST, "second.yml": FETCHES.replace(old, new)})
    first = local.run("first.yml")

    with pytest.raises(PipelineError):
        local.run("second.yml", after=first)


def test_there_is_no_run_of_a_pipeline_that_never_ran(agent):
    with pytest.raises(PipelineError, match="There is no run of first"):
        agent({"first.yml": FIRST, "second.yml": FETCHES}).run("second.yml")


# -- what waits, and what is run again ---

LOCKED = "stages:\n- stage: one\n  jobs:\n" + indent(f"{DEPLOYMENT}{NOTHING}", "  ")


def three_runs(agent, line):
    """Return runs of which the first holds a lock, for which the others wait."""
    local = agent({"root.yml": f"{line}{LOCKED}"})
    local.checks = {"test": {"lock"}}
    first, second, third = (local.start("root.yml") for _ in range(3))
    return first.until("one", RUNS), second.until("one", LOCK), third.until("one", LOCK)


@pytest.mark.parametrize("line", ["", "lockBehavior: runLatest\n"])
def test_of_those_that_wait_for_a_lock_the_latest_run_gets_it_and_others_are_canceled(agent, line):
    runs = three_runs(agent, line)

    assert [run.end().result for run in runs] == ["Succeeded", "Canceled", "Succeeded"]


def test_with_sequential_each_gets_its_turn(agent):
    first, second, third = three_runs(agent, "lockBehavior: sequential\n")

    with pytest.raises(PipelineError, match="is not at runs of one"):
        second.until("one", RUNS)
    first.end()
    with pytest.raises(PipelineError, match="waits for a lock before one"):
        third.end()
    assert [run.end().result for run in (second, third)] == ["Succeeded"] * 2


def test_who_waits_for_an_approval_holds_no_lock(agent):
    local = agent({"root.yml": f"lockBehavior: sequential\n{LOCKED}"})
    local.checks = {"test": {"lock", "approval"}}
    waits = local.start("root.yml").until("one", APPROVAL)

    other = local.run("root.yml")

    assert other.stages["one"].checks == ("approval of test", "lock of test")
    assert waits.end().result == "Succeeded"


def test_failed_jobs_are_run_again_and_those_that_succeeded_are_not(agent):
    """A file beside the repository says whether a job succeeds."""
    sets = "  - script: echo '##vso[task.setvariable variable=A;isOutput=true]set'\n    name: named\n"
    fails = JOB.replace("one", "two").replace("steps:", "dependsOn: one\n  steps:") + "  - script: test -f $MENDED\n"
    reads = "- stage: last\n  jobs:\n" + indent(
        f"{JOB}  - script: echo [$(A)]\n  variables:\n    A: $[ stageDependencies.first.one.outputs['named.A'] ]\n",
        "  ",
    )
    stage = "stages:\n- stage: first\n  jobs:\n" + indent(JOB + sets + fails, "  ")
    local = agent({"root.yml": stage + reads})
    mended = local.folder / "mended"
    local.environment["MENDED"] = str(mended)
    failed = local.run("root.yml")
    assert {name: job.result for name, job in failed.stages["first"].jobs.items()} == {
        "one": "Succeeded",
        "two": "Failed",
    }

    mended.touch()
    again = local.rerun(failed)

    assert (again.result, again.number) == ("Succeeded", failed.number)
    assert again.job("first.one") is failed.job("first.one")
    assert "[set]" in told(again)


def test_an_artifact_that_an_attempt_has_published_cannot_be_published_again(agent):
    steps = "  - script: echo > file\n  - publish: file\n    artifact: kept\n  - script: 'false'\n"
    local = agent({"root.yml": f"jobs:\n{JOB}{steps}"})

    again = local.rerun(local.run("root.yml"))

    assert "Artifact kept already exists for build." in told(again)


@pytest.mark.parametrize(
    "content",
    [
        f"jobs:\n{DEPLOYMENT}        - script: echo\n",
        f"jobs:\n{DEPLOYMENT}{NOTHING}".replace("one", "deploy"),
        f"jobs:\n{DEPLOYMENT}{NOTHING}".replace("  environment: test\n", ""),
        f"jobs:\n{DEPLOYMENT}{NOTHING}".replace("runOnce", "rolling"),
        f"jobs:\n{DEPLOYMENT}{NOTHING}".replace("      deploy:", "      preDeploy:"),
        f"jobs:\n{JOB}  - script: echo\n  environment: test\n",
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
        f"lockBehavior: latest\njobs:\n{JOB}  - script: echo\n",
        "jobs:\n- job: one\n  pool: server\n  steps:\n  - script: echo\n",
    ],
)
def test_what_is_wrong_is_refused(build, content):
    with pytest.raises(PipelineError):
        build({"root.yml": content})
