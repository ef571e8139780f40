"""What a cloud gives to pods without keys, on the loopback: credentials of their ServiceAccounts, and what those open.

It answers as the agent of EKS Pod Identity, as AWS STS (AssumeRoleWithWebIdentity), as Microsoft's token endpoint and
as Google's metadata server, and holds one object for whoever shows what it gave.
"""

import http.server
import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.support.object_server import Handler

KEY_ID, TOKEN = "ASIAIDENTITY", "given"
"""Of the credentials that it gives: an access key's id of AWS, a bearer token of the others."""
POD_TOKEN = "header.payload.signature"  # noqa: S105 - of nobody
"""Of the pod's ServiceAccount, as a webhook of the cloud projects it into a file."""
_NEVER = "2099-01-01T00:00:00Z"


class IdentityServer(http.server.ThreadingHTTPServer):
    """Gives credentials.

    Attributes:
        content: of its object.
        refusal: status and body of what is asked for credentials; None gives them.
        asked: who asked for credentials, by the path, and what token was shown.
        shown: what opened the object: ``KEY_ID`` or ``TOKEN``, once for each request.
    """

    daemon_threads = True

    def __init__(self, content: bytes = b"") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.refusal: tuple[int, bytes] | None = None
        self.asked: list[tuple[str, str]] = []
        self.shown: list[str] = []

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def variables(self, cloud: str, token_file: Path) -> dict[str, str]:
        """What the webhook of a cloud adds to a pod's environment, and what is said of the store besides.

        ``token_file`` is where the token of the pod is put.
        """
        token_file.write_text(POD_TOKEN)
        aws = {"AWS_ENDPOINT_URL": self.address, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
        return {
            "EKS Pod Identity": {
                **aws,
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.address}/v1/credentials",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token_file),
            },
            "IRSA": {
                **aws,
                "AWS_ROLE_ARN": "arn:aws:iam::1:role/trainer",
                "AWS_WEB_IDENTITY_TOKEN_FILE": str(token_file),
            },
            "Azure": {
                "AZURE_STORAGE_ACCOUNT_NAME": "account",
                "AZURE_STORAGE_ENDPOINT": self.address,
                "AZURE_ALLOW_HTTP": "true",
                "AZURE_CLIENT_ID": "client",
                "AZURE_TENANT_ID": "tenant",
                "AZURE_FEDERATED_TOKEN_FILE": str(token_file),
                "AZURE_AUTHORITY_HOST": self.address,
            },
            "GKE": {
                "GOOGLE_BASE_URL": self.address,
                "GCE_METADATA_HOST": f"127.0.0.1:{self.server_port}",
                "GCE_METADATA_IP": f"127.0.0.1:{self.server_port}",
            },
        }[cloud]


class _Handler(Handler):
    server: IdentityServer

    def do_GET(self) -> None:  # noqa: N802 - as http.server calls it
        url = urlsplit(self.path)
        if url.path == "/v1/credentials":
            self._give(self.headers.get("Authorization", ""), _agent())
        elif url.path.startswith("/computeMetadata/") and self.headers.get("Metadata-Flavor") == "Google":
            self._give("", _bearer())
        else:
            self._open()

    def do_POST(self) -> None:  # noqa: N802
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        said = {name: values[0] for name, values in parse_qs(url.query or body).items()}
        if said.get("Action") == "AssumeRoleWithWebIdentity":
            self._give(said["WebIdentityToken"], _sts())
        else:
            self._give(said["client_assertion"], _bearer())

    def _give(self, shown: str, credentials: bytes) -> None:
        self.server.asked.append((urlsplit(self.path).path, shown))
        self.answer(*(self.server.refusal or (200, credentials)))

    def _open(self) -> None:
        authorization = self.headers.get("Authorization", "")
        known = [one for one in (KEY_ID, TOKEN) if one in authorization]
        self.server.shown += known or ["nothing"]
        if known:
            self.send_content(self.server.content, self.headers.get("Range"), changed="PreconditionFailed")
        else:
            self.refuse(403, "AccessDenied")


def _agent() -> bytes:
    given = {"AccessKeyId": KEY_ID, "SecretAccessKey": "secret", "Token": "session", "Expiration": _NEVER}
    return json.dumps(given).encode()


def _sts() -> bytes:
    given = {"AccessKeyId": KEY_ID, "SecretAccessKey": "secret", "SessionToken": "session", "Expiration": _NEVER}
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in given.items())
    result = "AssumeRoleWithWebIdentityResult"
    return (
        f"<AssumeRoleWithWebIdentityResponse><{result}><Credentials>{inside}</Credentials></{result}>"
        "</AssumeRoleWithWebIdentityResponse>"
    ).encode()


def _bearer() -> bytes:
    return json.dumps({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}).encode()
