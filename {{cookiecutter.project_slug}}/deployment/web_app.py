"""Set the Web App to a scoring image, and prove that it serves the wanted version; else put the former image back.

WEBAPP_DEPLOYMENT_NAME, RESOURCE_GROUP and BASE_NAME say which app and which Key Vault, model.json which version must
answer, the image's tag in the registry from which image. ml_service/smoke_test.py then asks for predictions, with a
key that no command line and no log sees.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from deployment import app_service
from deployment.app_service import App
from deployment.image import TAG
from environment_setup.azure_cli import AzureError, az, program, setting

SETTLED = 3  # good answers in a row
LARGEST_ANSWER = 2**16


class Patience(NamedTuple):
    """How long to wait for a version to answer, and how often to ask, in seconds."""

    timeout: float
    every: float


def wanted(file: Path) -> tuple[str, int]:
    """Return name and version of the model that was judged."""
    try:
        model = json.loads(file.read_text(encoding="utf-8"))
        return model["name"], int(model["version"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise AzureError(f"{file} names no model ({error!r}): it is the artifact `model` of a build.") from error


def tag(image: str) -> str:
    """Return the tag that image.py gave an image, which its container tells."""
    registry, _, name = image.partition("/")
    told = az("acr", "repository", "show", "--name", registry.partition(".")[0], "--image", name)
    own: list[str] = [one for one in told.get("tags") or [] if TAG.fullmatch(one)]
    if len(own) != 1:
        raise AzureError(f"{image} has not the one tag that `python3 -m deployment.image` gives: build it anew.")
    return own[0]


def shown(name: Any, version: Any, tag: Any) -> str:
    return f"{name} version {version} of image {tag or 'unknown'}"


def serving(host: str, seconds: float = 10) -> str | None:
    """Return the model that answers there, or None."""
    try:
        with urllib.request.urlopen(f"https://{host}/healthz", timeout=seconds) as answer:
            told = json.loads(answer.read(LARGEST_ANSWER))
        return shown(told["model"], told["version"], told.get("image")) if told["status"] == "healthy" else None
    except (OSError, HTTPException, KeyError, TypeError, ValueError):
        return None


def served_before(host: str, patience: Patience) -> str | None:
    """Return the model that answers there, asked a few times before none is taken to."""
    for _ in range(SETTLED - 1):
        if found := serving(host):
            return found
        time.sleep(patience.every)
    return serving(host)


def wait_for(model: str, host: str, patience: Patience) -> None:
    """Wait until a model answers, and goes on answering."""
    deadline, good, told = time.monotonic() + patience.timeout, 0, object()
    while good < SETTLED:
        found = serving(host)
        good = good + 1 if found == model else 0
        if found != told:
            print(f"{host} answers: {found or 'no model'}.", flush=True)
        told = found
        if time.monotonic() > deadline:
            waited = f"within {patience.timeout:.0f} seconds"
            raise AzureError(f"{model} did not come up at {host} {waited}; last it answered: {found or 'no model'}.")
        if good < SETTLED:
            time.sleep(patience.every)


def smoke_test(host: str, key: str) -> None:
    """Have predictions asked for, by the program that does it for every service."""
    command = [sys.executable, "-m", "ml_service.smoke_test", "--type", "Webapp", "--service", f"https://{host}"]
    if subprocess.run(command, env={**os.environ, "SCORING_KEY": key}, check=False).returncode:
        raise AzureError("The smoke test failed: see what it said above.")


def put_back(app: App, former: str, image: str, before: str | None, patience: Patience) -> str:
    """Set the app to its former image again unless somebody else has set another one, and say what serves now."""
    try:
        if (now := app_service.image(app)) not in (image, former):
            return f"Somebody else has set {app.host} to {now} meanwhile: that was left alone."
        app_service.put(app, former)
        if before is None:
            return f"Its former image {former} was put back; no model had answered before."
        wait_for(before, app.host, patience)
    except Exception as error:
        return f"PUTTING BACK {former} FAILED: {error}"
    return f"Its former image {former} was put back: {before} serves again."


def deploy(app: App, image: str, model: str, key: str, patience: Patience) -> None:
    """Set the image and prove it. Whatever goes wrong, the former image is put back."""
    former, before = app_service.image(app), served_before(app.host, patience)
    print(f"{app.host} runs {former}, which answers: {before or 'no model'}.", flush=True)
    try:
        if image != former:
            app_service.put(app, image)
        wait_for(model, app.host, patience)
        smoke_test(app.host, key)
    except (Exception, KeyboardInterrupt) as error:
        why = str(error) or "It was interrupted."
        if image == former:
            raise AzureError(f"{why} It ran this image before, so there is no other to put back.") from error
        raise AzureError(f"{why} {put_back(app, former, image, before, patience)}") from error


def digest(text: str) -> str:
    """Read the name of an image by its digest. A tag may be moved, so none is taken."""
    if not re.fullmatch(r"[a-z0-9]+\.azurecr\.io/[a-z0-9._/-]+@sha256:[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no image by digest, as `python3 -m deployment.image` writes it")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", required=True, type=digest, help="registry/repository@sha256:...")
    parser.add_argument("--model", default="model.json", type=Path, help="which version it holds (%(default)s)")
    parser.add_argument("--timeout", default=600.0, type=float, help="seconds for it to come up (%(default)s)")
    parser.add_argument("--every", default=5.0, type=float, help="seconds between two questions (%(default)s)")
    arguments = parser.parse_args()
    with program():
        judged, app, vault = wanted(arguments.model), app_service.find(), f"{setting('BASE_NAME')}-AML-KV"
        app_service.check_pull(app, arguments.image)
        app_service.check_key(app, vault)
        key, model = app_service.key(vault), shown(*judged, tag(arguments.image))
        deploy(app, arguments.image, model, key, Patience(arguments.timeout, arguments.every))
        print(f"{model} serves at https://{app.host}/score.")


if __name__ == "__main__":
    main()
