"""Base images by digest: what a registry says of a tag gets into the Dockerfiles, all of them or none."""

import hashlib
import re
import shutil
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest
from conftest import ROOT, bake, run

FILES = ("environment_setup/Dockerfile", "deployment/image/Dockerfile")
EVERY_TARGET = {"deploy_webapp": True, "aks": "canary"}


def digest(text):
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


# What a registry says of some tags; of others, the digest of their name.
STATUSES = {"none": 404, "often": 429, "ill": 500}
DIGESTS = {"mute": "", "short": "sha256:1", "lines": f"{digest('l')}\n RUN false", "upper": f"sha256:{'A' * 64}"}


class Registry(BaseHTTPRequestHandler):
    """A registry that wants an anonymous token for each repository, as Docker Hub does."""

    def do_GET(self):
        asked = re.fullmatch(r"/token\?service=here&scope=repository%3A([\w%]+)%3Apull", self.path)
        self.answer(200, body=f'{{"token": "for-{asked[1].replace("%2F", "/")}"}}' if asked else "[]")

    def do_HEAD(self):
        repository, tag = re.fullmatch(r"/v2/(.+)/manifests/(.+)", self.path).groups()
        if tag == "slow":
            self.server.released.wait(20)
        if self.headers["Authorization"] != f"Bearer for-{repository}":
            here = f"http://{self.headers['Host']}"
            realm = {"foreign": "file:///etc/hosts", "garbage": f"{here}/other"}.get(tag, f"{here}/token")
            challenge = f'Bearer realm="{realm}",service="here",scope="repository:{repository}:pull"'
            self.answer(401, {} if tag == "private" else {"WWW-Authenticate": challenge})
            return
        known = DIGESTS.get(tag, digest(f"{repository}:{tag}"))
        indexes = self.headers["Accept"].startswith("application/vnd.oci.image.index.v1+json, ")
        self.answer(STATUSES.get(tag, 200), {"Docker-Content-Digest": known} if known and indexes else {})

    def answer(self, status, headers=(), body=""):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **dict(headers)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *said):
        """Say nothing."""


@pytest.fixture(scope="module")
def registry():
    """Return the address of a registry."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        server.released = Event()
        Thread(target=server.serve_forever).start()
        yield f"127.0.0.1:{server.server_port}"
        server.released.set()
        server.shutdown()


@pytest.fixture
def root(cookies_session, tmp_path):
    """Return a project with both Dockerfiles, and no more of it than is needed."""
    made = bake(cookies_session, EVERY_TARGET).path
    for name in (*FILES, "environment_setup/azure_cli.py", "environment_setup/base_images.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(made / name, tmp_path / name)
    return tmp_path


def name_bases(root, *bases):
    for file, base in zip(FILES, bases, strict=True):
        text = (root / file).read_text("utf-8")
        (root / file).write_text(re.sub(r"BASE_IMAGE=.*", f"BASE_IMAGE={base}", text), encoding="utf-8")


def bases(root):
    return [re.search(r"^ARG BASE_IMAGE=(.*)$", (root / file).read_text("utf-8"), re.MULTILINE)[1] for file in FILES]


def pin(root, code=0, before=""):
    program = f"{before}\nfrom environment_setup.base_images import main; main()"
    return run(sys.executable, "-c", program, cwd=root, code=code, no_proxy="127.0.0.1", NO_PROXY="127.0.0.1")


def test_each_dockerfile_gets_the_digest_of_its_tag_and_nothing_else_changes(root, registry):
    name_bases(root, f"{registry}/python:3.11", f"{registry}/team/base:1-slim@{digest('old')}")
    before = [(root / file).read_text("utf-8").splitlines() for file in FILES]

    told = pin(root)

    assert told == f"Pinned anew: {', '.join(FILES)}.\n"
    pinned = [f"{registry}/{image}@{digest(image)}" for image in ("python:3.11", "team/base:1-slim")]
    assert bases(root) == pinned
    after = [(root / file).read_text("utf-8").splitlines() for file in FILES]
    assert [len(set(new) - set(old)) for old, new in zip(before, after, strict=True)] == [1, 1]


def test_a_digest_that_is_still_that_of_its_tag_changes_nothing(root, registry):
    name_bases(root, *[f"{registry}/python:3.11@{digest('python:3.11')}"] * 2)
    written = [(root / file).stat().st_mtime_ns for file in FILES]

    assert pin(root) == "Every base image has the digest of its tag.\n"
    assert [(root / file).stat().st_mtime_ns for file in FILES] == written


def test_a_project_that_deploys_nothing_has_one_base(root, registry):
    name_bases(root, *[f"{registry}/python:3.11"] * 2)
    (root / FILES[1]).unlink()

    assert pin(root) == f"Pinned anew: {FILES[0]}.\n"


REFUSED = {
    "none": "has no such image: correct BASE_IMAGE.",
    "often": "was asked too often: try again in an hour",
    "private": "wants an account: write the digest",
    "foreign": "wants an account: write the digest",
    "ill": "answers 500: try again later.",
    "garbage": "write the digest by hand.",
    "mute": "names no digest (''): write it by hand.",
    "short": "names no digest ('sha256:1'): write it by hand.",
    "upper": "write it by hand.",
    "lines": "write it by hand.",
    "slow": "cannot be asked (timed out): try again where there is a network",
}


@pytest.mark.parametrize(("tag", "said"), REFUSED.items(), ids=REFUSED)
def test_what_a_registry_refuses_is_one_sentence_and_changes_no_file(root, registry, tag, said):
    name_bases(root, f"{registry}/python:3.11", f"{registry}/python:{tag}")
    before = bases(root)

    told = pin(
        root, code=1, before="import environment_setup.base_images as b; b.SECONDS = 0.5" if tag == "slow" else ""
    )

    assert told.startswith(f"error: {registry}/python:{tag} in {FILES[1]}: its registry ")
    assert said in told
    assert told.count("\n") == 1
    assert bases(root) == before
    assert {path.name for path in (root / "deployment" / "image").iterdir()} == {"Dockerfile"}


def test_where_there_is_no_network_the_remedy_is_told(root):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
    name_bases(root, *[f"{nobody}/python:3.11"] * 2)

    assert "Connection refused>): try again where there is a network" in pin(root, code=1)


@pytest.mark.parametrize("base", ["python:3.11", "docker.io/library/python", "$BASE", "docker.io/library/python:3@x y"])
def test_a_base_that_names_no_registry_or_tag_is_told(root, base):
    name_bases(root, *[base] * 2)

    assert "has no line ARG BASE_IMAGE=<registry>/<repository>:<tag>: write one." in pin(root, code=1)


def test_both_dockerfiles_have_the_base_that_the_decisions_give_a_source_for(project):
    said = re.search(
        r"`(docker\.io/library/\S+@sha256:[0-9a-f]{64})`", (ROOT / "docs" / "decisions.md").read_text("utf-8")
    )
    found = [path.read_text("utf-8") for path in project.path.rglob("Dockerfile")]

    assert found
    assert all(f"\nARG BASE_IMAGE={said[1]}\n" in text for text in found)
