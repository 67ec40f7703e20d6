"""Documentation is true: rooms, links, paths, tables and commands are those of the files."""

import functools
import json
import re
import shlex
import shutil
import textwrap
import tomllib

import pytest
import tools
from conftest import COMBINATIONS, QUESTIONS, ROOT, bake, run

from benchmarks import azure, batch, score

TEMPLATE_DOCS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def block(text, language, number=0):
    """Return the content of the fenced block of a language that comes at this place among its kind."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[number]


def paths_of_rooms(text):
    """Return the paths that the list of rooms names: what is indented lies in the folder above it."""
    folder, paths = "", {}
    for line in text.splitlines():
        indent, name, said = re.fullmatch(r"( {4})?(\S+)\s*(.*)", line).groups()
        folder = folder if indent else name
        paths[f"{folder}{name}" if indent else name] = said
    return paths


# What tools look for, whose names say all there is to say.
NOT_DRAWN = {".dockerignore", ".gitattributes", ".gitignore", ".pre-commit-config.yaml", "README.md"}


def test_the_emitted_readme_shows_every_room_and_what_is_its_reader_s(project):
    readme = (project.path / "README.md").read_text(encoding="utf-8")
    owned = {path.name for path in (ROOT / "templates" / project.answers["example"]).iterdir()} - {"test_estimator.py"}

    drawn = paths_of_rooms(block(readme, "text"))

    assert [path for path in drawn if not (project.path / path).exists()] == []
    rooms = {path.name for path in project.path.iterdir()} - NOT_DRAWN
    assert rooms - {".venv"} == {path.partition("/")[0] for path in drawn}
    assert {path.rpartition("/")[2] for path, said in drawn.items() if said.startswith("yours: ")} == owned


MADE_BY_COMMANDS = (".venv/", "build/", "outputs/", "candidate/", "decision/", "sample.csv", "answers.yml")
MADE_ON_AZURE = ("model.json", "outcome.json", "training-data/")


def check_links(document):
    text = document.read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text):
        assert (document.parent / link).exists(), f"{document.name} links to {link}"


def check_paths(document, *roots):
    """A word in backticks that looks like a path must be one, or be made by a command."""
    text = document.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:\.?[\w{}-]+/)+[\w.{}-]*|[\w-]+\.(?:py|yml|md|toml|txt|json))`", text):
        places = [place for root in roots for place in (root / path, *root.glob(f"src/*/{path}"), root / "src" / path)]
        places += [root / folder / path for root in roots for folder in ("tests", ".pipelines")]
        known = any(place.exists() for place in [*places, document.parent / path])
        assert known or path.startswith(MADE_BY_COMMANDS + MADE_ON_AZURE), f"{document.name} names {path}"


def test_links_and_paths_in_emitted_documents_exist(project):
    for document in project.path.rglob("*.md"):
        check_links(document)
        check_paths(document, project.path)


@pytest.mark.parametrize("document", TEMPLATE_DOCS, ids=lambda path: path.name)
def test_links_and_paths_in_the_template_s_documents_exist(document, cookies_session):
    check_links(document)
    check_paths(document, ROOT, bake(cookies_session, {"batch_scoring": True}).path)


@pytest.mark.tool("make")
def test_emitted_readme_gives_the_commands_of_those_who_have_no_make(defaults, tmp_path):
    shutil.copytree(defaults.path, tmp_path / "project")
    told = block((defaults.path / "README.md").read_text(encoding="utf-8"), "bash", 2)
    sections = dict(re.findall(r"^# make ([^\n]+)\n(.*?)(?=^# make|\Z)", told, re.DOTALL | re.MULTILINE))

    assert list(sections) == ["setup", "run", "serve", "test"]
    for name, commands in sections.items():
        if name == "setup":
            (tmp_path / "project" / ".venv").mkdir()
        dry = run("make", "--dry-run", name, cwd=tmp_path / "project")
        lines = [line.strip() for line in dry.splitlines() if "touch" not in line]
        assert lines == commands.strip().splitlines()
        (tmp_path / "project" / ".venv" / "ready").touch()


def commands(project):
    """Return what the documents give a person to paste into bash: blocks in that language, or in none."""
    for document in sorted(project.path.rglob("*.md")):
        text = document.read_text(encoding="utf-8")
        for found in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.DOTALL | re.MULTILINE):
            if found[2] in ("", "bash"):
                yield document.name, textwrap.dedent(re.sub(r"<[^<>\n]+>", "something", found[3]))


def test_commands_in_emitted_documents_are_bash(project):
    for document, block in commands(project):
        assert run("bash", "-n", "-c", block) == "", f"{document}: {block}"


def test_commands_in_emitted_documents_mean_the_same_to_an_interactive_bash(project):
    lines = [line for _, block in commands(project) for line in block.splitlines()]
    expand = 'set -o history -o histexpand; for line; do history -p -- "$line" || echo "refused: $line"; done'

    assert run("bash", "-c", expand, "bash", *lines).splitlines() == lines


NOT_PARSED = ("devops", "pipelines", "repos", "extension", "login")  # of an extension, or asking the network


def azure_commands(project):
    """Return the calls of the Azure CLI that documents show, as words, by command and options."""
    shown = "\n".join(block for _, block in commands(project))
    for document in project.path.rglob("*.md"):
        quoted = re.findall(r"`(az [^`]*--[^`]+)`", document.read_text(encoding="utf-8"))
        shown += "".join(f"\n{re.sub('<[^<>]+>', 'something', command)}" for command in quoted)
    within = re.findall(r"\$\((az [^()]*)\)", shown)
    alone = re.findall(r"(?:^|\| )(az [^|\n]*)", re.sub(r"\$\([^()]*\)", "something", shown), re.MULTILINE)
    calls = [shlex.split(call, comments=True) for call in within + alone]
    kinds = {(*call[:3], *(word for word in call if word.startswith("--"))): call for call in calls}
    return {kind: call for kind, call in kinds.items() if call[1] not in NOT_PARSED}


# Each stops at once, because nobody has logged in; one with an unknown command or option, before it says so.
PARSE = """
import contextlib, json, sys
from azure.cli.core import get_default_cli
for call in json.loads(sys.argv[1]):
    with contextlib.suppress(SystemExit):
        get_default_cli().invoke(call)
"""


@pytest.mark.prove
def test_the_azure_cli_takes_each_command_in_emitted_documents(cookies_session, environment, defaults, tmp_path):
    python = environment(defaults, "az")
    answers = [COMBINATIONS["most"], {"aks": "canary", "deploy_webapp": True}, {"aks": "service"}]
    calls = {kind: call for each in answers for kind, call in azure_commands(bake(cookies_session, each)).items()}
    settings = {"AZURE_CONFIG_DIR": str(tmp_path), "AZURE_CORE_COLLECT_TELEMETRY": "no"}

    told = run(python, "-c", PARSE, json.dumps([call[1:] for call in calls.values()]), **settings)

    assert len(calls) > 10
    assert told.count("az login") == len(calls), told


def test_both_readmes_say_at_once_that_sdk_v1_is_no_longer_supported(project):
    for root in (ROOT, project.path):
        first_screen = (root / "README.md").read_text(encoding="utf-8").partition("\n## ")[0]

        assert "support for SDK v1 ended on 2026-06-30" in " ".join(first_screen.split())


def prompt_of(question):
    prompt = QUESTIONS["__prompts__"][question]
    return prompt if isinstance(prompt, str) else prompt["__prompt__"]


def default_of(question):
    default = QUESTIONS[question]
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, list):
        return ", ".join(f"`{answer}`" for answer in default)
    return "derived" if "{{" in default else default


def test_questions_in_the_readme_are_those_that_are_asked():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    asked = [
        f"| `{question}` | {prompt_of(question)} | {default_of(question)} |"
        for question in QUESTIONS
        if not question.startswith("_")
    ]

    assert "\n".join(asked) in readme


def test_every_question_has_a_prompt():
    assert QUESTIONS["__prompts__"].keys() == {question for question in QUESTIONS if not question.startswith("_")}


def test_every_direct_dependency_has_a_reason(project):
    reasons = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    for root in (ROOT, project.path):
        groups = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
        for item in (item for group in groups.values() for item in group if isinstance(item, str)):
            name = re.match(r"[a-z0-9-]+", item).group()
            assert f"`{name}`" in reasons, name


def test_readme_names_two_commands_for_a_newcomer():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first_run = readme.partition("## First run")[2].partition("\n## ")[0]

    assert set(re.findall(r"\bmake ([a-z-]+)", first_run)) == {"demo", "test"}


@pytest.mark.tool("make")
@pytest.mark.parametrize("folder", ["template", "project"])
def test_help_lists_every_target(folder, defaults):
    root = ROOT if folder == "template" else defaults.path
    phony = re.search(r"^\.PHONY: (.*)$", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE).group(1)

    told = run("make", "help", cwd=root)

    assert [line.split()[0] for line in told.splitlines() if line.startswith("  ")] == phony.split()


def test_notebooks_are_stored_without_output(defaults):
    for path in defaults.path.rglob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


def test_the_goals_in_the_readme_are_those_that_the_benchmarks_hold():
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    stated = re.search(
        r"the service (\S+) times cheaper for one row and (\S+) times for 1000 .*; "
        r"batch scoring (\S+) times cheaper than a pandas program, (\S+) times from Parquet to Parquet, "
        r"in under (\S+) GB; a run on the local Azure ML under (\S+) s as processes, (\S+) s in forks",
        text,
    )

    held = [*score.GOALS.values(), *batch.LEAST.values(), batch.MOST_MEGABYTES / 1000, *azure.GOALS.values()]
    assert [float(number) for number in stated.groups()] == held


@pytest.mark.parametrize("missed", [None, *score.GOALS], ids=str)
def test_a_goal_that_is_missed_fails_the_benchmark_of_scoring(missed):
    cpu = {(score.STOCK, rows): 100.0 for rows in score.BATCHES}
    cpu |= {(kind, rows): 100.0 / goal * 0.99 for (kind, rows), goal in score.GOALS.items()}
    if missed is None:
        score.check(cpu)
        return
    cpu[missed] *= 1.1

    with pytest.raises(SystemExit, match=f"{missed[0]}, {missed[1]} rows"):
        score.check(cpu)


def operations(project):
    return (project.path / "docs" / "operations.md").read_text(encoding="utf-8")


def test_cores_in_the_guide_follow_from_the_cost_of_a_request(project):
    rows = re.findall(r"^\| ([\d,]+) \| ([\d,]+) us \| (\S+) \| (\S+) \| (\S+) \|$", operations(project), re.MULTILINE)

    assert len(rows) == 2
    for at_once, cost, *cores in rows:
        each = float(cost.replace(",", "")) / 1e6 / float(at_once.replace(",", ""))
        for stated, rate in zip(cores, score.PREDICTIONS_PER_SECOND, strict=True):
            assert float(stated) == pytest.approx(rate * each, rel=0.05), "to two digits"


# What Log Analytics holds of each target: Microsoft's table reference (azure-monitor-docs, reference/tables), but
# ContainerInstanceLog_CL, whose columns stand in azure-container-instances' guide to Log Analytics.
TABLES = {
    "ContainerInstanceLog_CL": "TimeGenerated: datetime, ContainerGroup_s: string, ContainerID_s: string, "
    "ContainerImage_s: string, Location_s: string, Message: string",
    "ContainerInstanceLog": "TimeGenerated: datetime, ContainerGroup: string, ContainerID: string, "
    "ContainerImage: string, ContainerName: string, Location: string, Message: string, _ResourceId: string",
    "AppServiceConsoleLogs": "TimeGenerated: datetime, ContainerId: string, Host: string, Level: string, "
    "OperationName: string, ResultDescription: string, _ResourceId: string",
    "ContainerLogV2": "TimeGenerated: datetime, ContainerName: string, LogLevel: string, LogMessage: dynamic, "
    "LogSource: string, PodName: string, PodNamespace: string, _ResourceId: string",
}
EVERY_TARGET = {"deploy_webapp": True, "aks": "canary"}  # and ACI, by default


def queries(project):
    """Return the queries of the guide, each whole: what follows the first begins with its definition."""
    first, *more = re.findall(r"^```kql\n(.*?)^```", operations(project), re.DOTALL | re.MULTILINE) or [""]
    return [first, *(f"{first.partition(';')[0]};\n{query}" for query in more)] if first else []


@pytest.fixture(scope="module")
def kusto(tmp_path_factory):
    """Return a function that asks Microsoft's language service about queries, and gives what it says."""
    folder = tmp_path_factory.mktemp("kusto")
    (folder / "tables.json").write_text(json.dumps(TABLES), encoding="utf-8")

    @functools.cache  # most projects have the same queries
    def said(*queries, code=0):
        files = [folder / f"{number}.kql" for number in range(len(queries))]
        for file, query in zip(files, queries, strict=True):
            file.write_text(query, encoding="utf-8")
        return run("node", tools.made("npm") / "kql.cjs", folder / "tables.json", *files, code=code)

    return said


@pytest.mark.tool("npm")
def test_queries_in_the_guide_are_kql_over_the_tables_of_the_targets(project, kusto):
    answers = project.answers
    tables = {"ContainerInstanceLog_CL", "ContainerInstanceLog"} if answers["deploy_aci"] else set()
    tables |= {"AppServiceConsoleLogs"} if answers["deploy_webapp"] else set()
    tables |= {"ContainerLogV2"} if answers["aks"] != "none" else set()

    assert len(queries(project)) == (2 if tables else 0)
    assert {table for table in TABLES if re.search(rf"\b{table}\b", operations(project))} == tables
    assert all(set(re.findall(r"\((\w+) \| project", query)) == tables for query in queries(project))
    assert not tables or kusto(*queries(project)) == ""


WRONG = {
    "column": ("text = Message", "text = Massage", "'Massage' does not refer to any known column"),
    "bracket": ("tostring(LogMessage)", "LogMessage)", "incomplete fragment"),
    "bar": ("\n| summarize", "\nsummarize", "Expected: ;"),
    "group": ("target, predictions\n", "target, rows\n", "'rows' does not refer to any known column"),
    "function": ("countif(", "count_if(", "'count_if' does not refer to any known function"),
    "table": ("(ContainerLogV2 |", "(ContainerLogV3 |", "'ContainerLogV3' does not refer to any known"),
}


@pytest.mark.tool("npm")
@pytest.mark.parametrize("number", range(len(WRONG)), ids=WRONG)
def test_a_query_that_is_wrong_is_found(cookies_session, kusto, number):
    query = queries(bake(cookies_session, EVERY_TARGET))[0]

    told = kusto(*(query.replace(right, wrong) for right, wrong, _ in WRONG.values()), code=1)

    (*_, said), lines = list(WRONG.values())[number], told.splitlines()
    assert any(said in line for line in lines if f"{number}.kql" in line), told


def test_queries_in_the_guide_ask_for_what_a_line_holds(project):
    source = (project.package() / "request_log.py").read_text(encoding="utf-8")
    holds = re.findall(r'^            "(\w+)":', source, re.MULTILINE)

    assert list(json.loads(block(operations(project), "json"))) == holds
    for query in queries(project):
        assert re.findall(r"\b(\w+) = to\w+\(line\.(\w+)\)", query) == [(name, name) for name in holds]
        assert re.findall(r'startswith "{\\"(\w+)\\":', query) == holds[:1]
