"""The S3 server of the local cluster, as tests use it: a bucket of their own, and a Secret that lets pods in."""

from collections.abc import Mapping
from typing import Any

import obstore
from obstore.store import S3Store
from tests.cluster.object_store import BUCKETS, CREDENTIALS, ENDPOINT, REGION, Credentials, credentials
from tests.support.cluster import REMEDY, NoClusterError

Object = dict[str, Any]


def object_store_credentials() -> Credentials:
    """Credentials of the server.

    Raises:
        NoClusterError: the local cluster was never started.
    """
    if not CREDENTIALS.exists():
        raise NoClusterError(f"the local cluster has no object store: {REMEDY}")
    return credentials()


def environment() -> Mapping[str, str]:
    """The variables by which a client of S3 finds the server and is let in: no TLS, and the bucket in the path."""
    user = object_store_credentials()
    return {
        "AWS_ACCESS_KEY_ID": user.access_key_id,
        "AWS_SECRET_ACCESS_KEY": user.secret_access_key,
        "AWS_ENDPOINT_URL": ENDPOINT,
        "AWS_REGION": REGION,
        "AWS_ALLOW_HTTP": "true",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
    }


def secret(name: str) -> Object:
    """A Secret with these variables, for ``spec.artifacts.secretRef`` and ``envFrom``."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": dict(environment()),
    }


def make_bucket(name: str) -> None:
    """Make a bucket; one that is there is left as it is."""
    object_store_credentials()
    (BUCKETS / name).mkdir(exist_ok=True)


def open_bucket(name: str) -> S3Store:
    """A client of a bucket."""
    user = object_store_credentials()
    return S3Store(
        name,
        endpoint=ENDPOINT,
        region=REGION,
        access_key_id=user.access_key_id,
        secret_access_key=user.secret_access_key,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def object_names(bucket: str, prefix: str = "") -> list[str]:
    """Names of all objects of a bucket below a prefix, sorted."""
    pages = obstore.list(open_bucket(bucket), prefix)
    return sorted(found["path"] for page in pages for found in page)
