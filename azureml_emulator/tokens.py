"""JSON Web Tokens as Azure hands them out, signed by nobody: clients read the claims and the expiry, no more."""

import base64
import json
import time
from typing import Any

Claims = dict[str, Any]


def issue(tenant: str, subject: str, lifetime: float = 24 * 3600, **claims: Any) -> str:
    """Return a token for a subject. What reads it: azureml._base_sdk_common.common.fetch_tenantid_from_aad_token."""
    now = int(time.time())
    body = {"tid": tenant, "oid": subject, "sub": subject, "iat": now, "nbf": now, "exp": int(now + lifetime), **claims}
    return ".".join((_encode({"alg": "none", "typ": "JWT"}), _encode(body), "emulator"))


def read(token: str) -> Claims | None:
    """Return the claims, or None if this is no token."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError):
        return None
    return claims if isinstance(claims, dict) else None


def expired(claims: Claims) -> bool:
    """A token that does not say when it ends has ended."""
    return float(claims.get("exp", 0)) <= time.time()


def _encode(part: Claims) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
