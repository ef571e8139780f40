"""The pages of docs/how-to about models, and other commands of documents that want a cluster, as they stand there.

A user of one namespace types them. What documents leave open (hosts, credentials, namespaces) is replaced, and so is
what would take long here: each replacement is below.
"""

import httpx
import pandas
import pytest
from tests.bench.serving_processes import free_port
from tests.support import object_store
from tests.support.document_runs import MODELS
from tests.support.documents import Command, typed_by
from tests.support.e2e import Space
from tests.support.transcripts import words
from tests.support.typing_in import Shell, terminal, without_comment

pytestmark = pytest.mark.cluster

LITTLE = "resources: {requests: {cpu: 20m, memory: 128Mi}}"
SMALL = {"  model: {mlp: {}}\n": f"  model: {{logistic: {{}}}}\n  training: {{{LITTLE}}}\n"}
"""Many pods run side by side on two CPUs."""
SERVICE = """kubectl get service iris -o jsonpath='{.spec.clusterIP}:{.spec.ports[?(@.name=="http")].port}'"""
BACKEND = "{.spec.rules[0].http.paths[0].backend.service"


@pytest.mark.story(110)
def test_pages_about_models_lead_where_they_say(space: Space) -> None:
    with terminal(space.user, space.name) as shell:
        keys_and_a_way_in(space, shell)
        what_is_said_of_it(space, shell)
        no_gpu(space, shell)
        tables_and_models_in_s3(space, shell)


def keys_and_a_way_in(space: Space, shell: Shell) -> None:
    """How-to pages api-keys and ingress, then ways to the same model from elsewhere."""
    pages = ("docs/how-to/api-keys.md", "docs/how-to/ingress.md")
    # What a controller does with the Ingress is to ask the Service that it names, by the name of its port.
    named = f"kubectl get service $(kubectl get ingress iris -o jsonpath='{BACKEND}.name}}')"
    port = f"$(kubectl get ingress iris -o jsonpath='{BACKEND}.port.name}}')"
    routed = f"""{named} -o jsonpath="{{.spec.clusterIP}}:{{.spec.ports[?(@.name=='{port}')].port}}\""""
    answers = shell.type(
        [step for page in pages for step in typed_by(MODELS, page)],
        instead={
            "--namespace=team-a": f"--namespace={space.name}",
            "namespace: team-a": f"namespace: {space.name}",
            "http://iris.team-a.svc": f"http://$({SERVICE})",
            "https://iris.example.com": f"http://$({routed})",
            # Nodes know where a Service leads a moment after its pods are ready.
            "curl -s ": "curl -s --retry 9 --retry-connrefused ",
            # An administrator's, and the operator of all tests.
            "helm upgrade": f"KUBECONFIG={space.admin} helm upgrade --dry-run=server",
            "  serving:\n    auth": f"  serving:\n    {LITTLE}\n    auth",
            **SMALL,
        },
    )
    asked = [answer for command, answer in answers.items() if command.startswith("curl")]
    assert len(asked) == len(pages)
    assert all('"label":"setosa"' in answer for answer in asked), asked
    refused = httpx.post(f"http://{space.address('iris')}/v1/models/iris:predict", json={}, trust_env=False)
    assert refused.status_code == 401

    local = free_port()
    (forward,) = (one for one in typed_by(MODELS, "docs/serving.md") if isinstance(one, Command))
    words_of_it = without_comment(forward.text)
    ready = f"until curl -sf -o /dev/null localhost:{local}/v2/health/ready; do kill -0 $!; sleep 0.2; done; kill $!"
    shell.type(
        [forward._replace(text=words_of_it)],
        instead={words_of_it: f"{words_of_it} & {ready}", "8080:80": f"{local}:80"},
    )


def what_is_said_of_it(space: Space, shell: Shell) -> None:
    """Pipelines, the README, and what an operator of models does by hand; of the iris that serves."""
    shell.type(typed_by(MODELS, "docs/status.md"), instead={})
    readme = [step for step in typed_by(MODELS, "README.md") if isinstance(step, Command)]
    # What is refused is an answer, too.
    said = shell.type(
        [step._replace(text=f"{step.text} 2>&1 || true") for step in readme],
        instead={"modelservice-demo": space.name},
    )
    for step in readme:
        if "tests/data/bad" in step.text:
            assert words("\n".join(step.shown)) == words(said[f"{step.text} 2>&1 || true"])
    (listed,) = said["kubectl get mdsvc -n modelservice-demo 2>&1 || true"].splitlines()[1:]
    assert listed.split()[:2] == ["iris", "True"]
    example = "kubectl get mdsvc iris -n modelservice-demo -o jsonpath={.status.example} 2>&1 || true"
    assert said[example].startswith(f"curl -s http://iris.{space.name}.svc/v1/models/iris:predict ")

    shell.type(typed_by(MODELS, "docs/operations.md"), instead={'{"number": 3}': '{"number": 1}'})
    assert "pinRevision" not in space.service("iris")["spec"]["serving"]
    wide = shell.type(typed_by(MODELS, "docs/shared-encoders.md"), instead={})
    assert "USED BY" in wide["kubectl get mdsvc -o wide"]
    (usage,) = shell.type(typed_by(MODELS, "docs/kubectl.md"), instead={}).values()
    assert "rollback" in usage


def no_gpu(space: Space, shell: Shell) -> None:
    """More GPUs than any node has: what the page says of a pod that waits."""
    runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": space.name}}
    space.administer({**runtime, "handler": "runc"})
    reason = """kubectl get mdsvc churn -o jsonpath='{.status.conditions[?(@.type=="Ready")].reason}'"""
    waiting = f"until {reason} | grep -qx Unschedulable; do sleep 0.3; done"
    try:
        answers = shell.type(
            typed_by(MODELS, "docs/how-to/gpu.md"),
            instead={
                "runtimeClassName: nvidia": f"runtimeClassName: {space.name}",
                "limits: {nvidia.com/gpu: 1, memory: 8Gi}": "limits: {nvidia.com/gpu: 3, memory: 256Mi}",
                "kubectl wait --for=condition=Ready mdsvc/churn --timeout=30m": waiting,
                # Nodes and RuntimeClasses are nobody's namespace.
                "kubectl get nodes": f"KUBECONFIG={space.admin} kubectl get nodes",
                "kubectl get runtimeclass": f"KUBECONFIG={space.admin} kubectl get runtimeclass",
            },
        )
    finally:
        space.as_admin("delete", "runtimeclass", space.name)
    assert space.name in answers["kubectl get runtimeclass"]
    *_, message = answers.values()
    assert "Insufficient nvidia.com/gpu" in message
    space.kubectl("delete", "modelservice/churn", "configmap/churn")


def tables_and_models_in_s3(space: Space, shell: Shell) -> None:
    """The page with the endpoint of its last section, in Secrets of the server beside the cluster."""
    object_store.make_bucket("tables")
    object_store.make_bucket("models")
    table = pandas.read_csv(shell.folder / "churn.csv")
    object_store.open_bucket("tables").put(f"{space.name}/2026/01.parquet", table.to_parquet())
    store = object_store.environment()
    answers = shell.type(
        typed_by(MODELS, "docs/how-to/s3.md"),
        instead={
            "AWS_ACCESS_KEY_ID: replace-me": f"AWS_ACCESS_KEY_ID: {store['AWS_ACCESS_KEY_ID']}",
            "AWS_SECRET_ACCESS_KEY: replace-me": f"AWS_SECRET_ACCESS_KEY: {store['AWS_SECRET_ACCESS_KEY']}",
            "AWS_REGION: eu-central-1": f"AWS_REGION: {store['AWS_REGION']}\n"
            f'  AWS_ENDPOINT_URL: {store["AWS_ENDPOINT_URL"]}\n  AWS_ALLOW_HTTP: "true"',
            "s3://tables/churn/": f"s3://tables/{space.name}/",
            "serving: {replicas: 2}": f"serving: {{replicas: 2, {LITTLE}}}",
            **SMALL,
        },
    )
    *_, uri = answers.values()
    key = space.service("churn")["status"]["key"]
    assert uri == f"s3://models/team/{space.name}/churn/{key}"
    assert object_store.object_names("models", uri.removeprefix("s3://models/"))
