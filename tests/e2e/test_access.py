"""Auth and TLS through the Service: keys and tokens, certificates that are exchanged, probes that need neither."""

import base64
import json
import ssl
from typing import Any

import grpc
import httpx
import pytest
import yaml
from tests.support.e2e import PATIENCE_SECONDS, Object, Space, eventually, says
from tests.support.samples import SAMPLES, objects
from tests.unit.runtime.serving.pki import Authority, Identity

from modelservice.contract.places import GRPC_PORT, STATUS_PORT
from modelservice_operator.kinds import SERVICE

pytestmark = pytest.mark.cluster

NAME = "iris-guarded"
KEYS, TLS = f"{NAME}-callers", f"{NAME}-tls"
FIRST_KEY, SECOND_KEY = "0123456789abcdef-first", "0123456789abcdef-second"
ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
METADATA = "/inference.GRPCInferenceService/ModelMetadata"


def host(space: Space) -> str:
    """The name that clients call, and that the certificate is for."""
    return f"{NAME}.{space.name}.svc"


def tls_secret(identity: Identity) -> Object:
    data = {name: base64.b64encode(content).decode() for name, content in identity.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": TLS}, "type": "kubernetes.io/tls", "data": data}


def key_secret(key: str) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": KEYS}, "stringData": {"shop": key}}


def ask(space: Space, authority: Authority, credential: str | None) -> int:
    """The status of a request to the Service; 0 where its certificate is not of this authority."""
    context = ssl.create_default_context(cadata=authority.pem.decode())
    headers = {"host": host(space), **({} if credential is None else {"authorization": f"Bearer {credential}"})}
    with httpx.Client(verify=context, trust_env=False, timeout=10) as client:
        try:
            answer = client.post(
                f"https://{space.address(NAME)}/v1/models/{NAME}:predict",
                json=ROW,
                headers=headers,
                extensions={"sni_hostname": host(space)},
            )
        except httpx.ConnectError:
            return 0
    return answer.status_code


def call(space: Space, authority: Authority, key: str | None) -> str:
    """The code of a gRPC call to the Service."""
    options = [("grpc.ssl_target_name_override", host(space))]
    credentials = grpc.ssl_channel_credentials(authority.pem)
    metadata = [] if key is None else [("authorization", f"Bearer {key}")]
    with grpc.secure_channel(f"{space.address(NAME)}:{GRPC_PORT}", credentials, options) as channel:
        try:
            channel.unary_unary(METADATA)(_metadata_request(), metadata=metadata, timeout=10)
        except grpc.RpcError as error:
            code: Any = error
            return str(code.code().name)
    return "OK"


def _metadata_request() -> bytes:
    """``ModelMetadataRequest`` with the name of the model, its first field."""
    name = NAME.encode()
    return bytes([0x0A, len(name)]) + name


def pods(space: Space) -> list[Object]:
    """Pods that serve and stay."""
    return [pod for pod in space.pods(NAME, "serve") if "deletionTimestamp" not in pod["metadata"]]


def hurry(space: Space) -> None:
    """Have kubelet look at its pods now, as a change of one makes it: else a Secret takes it up to a minute or two."""
    for pod in pods(space):
        name = pod["metadata"]["name"]
        space.as_admin("annotate", "pod", name, f"hurried={pod['metadata']['resourceVersion']}", "--overwrite")


def exchanged(space: Space, holds: Any, *, what: str) -> None:
    """Wait until a Secret that was changed counts, in the pods that run."""
    before = {pod["metadata"]["uid"] for pod in pods(space)}

    def look() -> bool:
        hurry(space)
        return bool(holds())

    eventually(look, what=what, seconds=PATIENCE_SECONDS, poll=2)
    after = pods(space)
    assert {pod["metadata"]["uid"] for pod in after} == before
    assert [status["restartCount"] for pod in after for status in pod["status"]["containerStatuses"]] == [0] * len(
        after
    )


@pytest.mark.story(150)
def test_auth_and_tls_through_the_service(space: Space) -> None:
    first, second = Authority("first"), Authority("second")
    described = [one for one in objects(SAMPLES / "guarded.yaml") if one["kind"] != "Secret"]
    space.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([*described, key_secret(FIRST_KEY)]))
    space.wait(NAME, says("FailedMount", TLS), what="misses its certificate")
    space.apply(tls_secret(first.issue(host(space), dns=host(space))))
    status = space.wait_ready(NAME)["status"]
    assert status["url"] == f"https://{host(space)}"
    assert ' -H "authorization: Bearer $KEY"' in status["example"]
    service = space.api.get(SERVICE, space.name, NAME)
    assert service is not None
    assert [port["port"] for port in service["spec"]["ports"]] == [443, GRPC_PORT]

    eventually(lambda: ask(space, first, FIRST_KEY) == 200, what="an answer over TLS")
    assert [ask(space, first, key) for key in (None, SECOND_KEY)] == [401, 401]
    assert ask(space, second, FIRST_KEY) == 0
    assert [call(space, first, key) for key in (FIRST_KEY, None)] == ["OK", "UNAUTHENTICATED"]

    # Certificate and key are exchanged in the pods that run.
    space.apply(tls_secret(second.issue(host(space), dns=host(space))), key_secret(SECOND_KEY))
    exchanged(space, lambda: ask(space, second, SECOND_KEY) == 200, what="the second certificate and key")
    assert (ask(space, first, SECOND_KEY), ask(space, second, FIRST_KEY)) == (0, 401)
    assert call(space, second, SECOND_KEY) == "OK"

    # Probes and metrics need neither; a line for each request is in the log.
    (pod,) = pods(space)
    with httpx.Client(trust_env=False, timeout=10) as client:
        page = client.get(f"http://{pod['status']['podIP']}:{STATUS_PORT}/metrics").text
    assert 'modelservice_requests_total{code="401"' in page
    log = space.kubectl("logs", pod["metadata"]["name"])
    audited = [json.loads(line) for line in log.splitlines() if line.startswith('{"audit"')]
    assert {(one["caller"], one["code"]) for one in audited} >= {("shop", "200"), (None, "401"), ("shop", "OK")}
    assert FIRST_KEY not in log
    assert SECOND_KEY not in log

    # Tokens of Kubernetes' own ServiceAccounts, one of which may.
    issuer = json.loads(space.as_admin("get", "--raw", "/.well-known/openid-configuration"))["issuer"]
    keys = space.as_admin("get", "--raw", "/openid/v1/jwks")
    accounts = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}} for name in ("shop", "bank")]
    key_set = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "issuer"}, "data": {"jwks.json": keys}}
    space.apply(*accounts, key_set)
    jwt = {
        "issuer": issuer,
        "audience": NAME,
        "jwks": {"configMapRef": {"name": "issuer"}},
        "subjects": [f"system:serviceaccount:{space.name}:shop"],
    }
    space.patch(NAME, {"serving": {"auth": {"apiKeys": None, "jwt": jwt}}})
    space.wait_ready(NAME)

    def token(account: str, audience: str = NAME) -> str:
        return space.as_admin("create", "token", account, f"--audience={audience}").strip()

    # Pods of before, which know keys and no tokens, answer until they have left.
    eventually(lambda: len(pods(space)) == 1, what="the new pod alone")
    asked = (token("shop"), token("bank"), token("shop", "other"), SECOND_KEY)
    eventually(lambda: [ask(space, second, one) for one in asked] == [200, 403, 401, 401], what="answers by tokens")
