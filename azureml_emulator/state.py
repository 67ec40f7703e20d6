"""What the services share."""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .faults import Faults
from .mlflow_store import MlflowStore
from .storage import Blobs, Documents
from .workspace import Workspace

if TYPE_CHECKING:
    from .executor import Executor


@dataclass
class State:
    """One workspace and all that is in it. What must be found again lies in the folder."""

    workspace: Workspace
    folder: Path
    documents: Documents
    blobs: Blobs
    faults: Faults
    mlflow: MlflowStore
    federated_token: str
    proxy_variables: dict[str, str]
    executor: "Executor" = field(init=False)
    calls: list[dict[str, Any]] = field(default_factory=list)
    blocks: dict[str, dict[str, bytes]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
