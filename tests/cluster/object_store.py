"""An S3 server over a folder, on the machine's side of the bridge, where the pods of every node reach it."""

import json
import secrets
from dataclasses import asdict, dataclass

from tests.cluster.controlplane import healthy
from tests.cluster.network import BRIDGE_IP
from tests.cluster.paths import STATE, private_folder, write_if_changed
from tests.cluster.processes import Component
from tests.cluster.toolchain import binary

PORT = 7070
ENDPOINT = f"http://{BRIDGE_IP}:{PORT}"
REGION = "us-east-1"
FOLDER = STATE / "object-store"
CREDENTIALS = FOLDER / "credentials.json"
BUCKETS = FOLDER / "buckets"


@dataclass(frozen=True)
class Credentials:
    """A key of S3 and its secret."""

    access_key_id: str
    secret_access_key: str


def credentials() -> Credentials:
    """Return the credentials of the server's only user; made at random once, and gone with the cluster."""
    if not CREDENTIALS.exists():
        private_folder(FOLDER)
        made = Credentials(secrets.token_hex(10).upper(), secrets.token_urlsafe(30))
        write_if_changed(CREDENTIALS, json.dumps(asdict(made)))
    return Credentials(**json.loads(CREDENTIALS.read_text()))


def object_store() -> Component:
    """Build the S3 server: a bucket is a folder below `BUCKETS`."""
    user = credentials()
    BUCKETS.mkdir(exist_ok=True, mode=0o700)
    options = [f"--port={BRIDGE_IP}:{PORT}", f"--region={REGION}", "--health=/healthz", "--quiet"]
    return Component(
        name="object-store",
        argv=[binary("versitygw"), *options, "posix", str(BUCKETS)],
        # Not as flags: every process of the machine can read those.
        env={"ROOT_ACCESS_KEY_ID": user.access_key_id, "ROOT_SECRET_ACCESS_KEY": user.secret_access_key},
        ready=lambda: healthy(PORT, "/healthz", tls=False, host=BRIDGE_IP),
    )
