"""``top``: what follows from the metrics of pods."""

from tests.unit.runtime.serving.fakes import client_of, front_of, numeric_model

from modelservice.cluster.usage import usage_of

DRIFT = """\
modelservice_feature_drift_psi{column="age"} 0.31
modelservice_feature_drift_psi{column="city \\"home\\""} 0.02
"""


async def test_requests_are_those_of_inferences_and_drift_is_the_largest_of_all_pods() -> None:
    async with client_of(front_of(numeric_model())) as client:
        for row in ([1, 2], [3, 4]):
            await client.post("/v1/models/iris:predict", json={"instances": [row]})
        await client.post("/v2/models/iris/infer", json={})
        await client.get("/v2/health/ready")
        text = (await client.get("/metrics")).text
    usage = usage_of([text, text + DRIFT])
    assert (usage.pods, usage.requests, usage.errors, usage.rows) == (2, 6, 0, 4)
    assert usage.seconds > 0
    assert usage.drift == (0.31, "age")
    name, pods, requests, errors, mean, rows, psi, column = usage.row("iris")
    assert (name, pods, requests, errors, rows, psi, column) == ("iris", "2", "6", "0", "4", "0.31", "age")
    assert float(mean) > 0


def test_a_server_error_counts_and_a_refusal_does_not() -> None:
    lines = [
        f'modelservice_requests_total{{route="{route}",code="{code}"}} {count}'
        for route, code, count in (
            ("/v1/models/{name}:predict", "500", 2),
            ("/v1/models/{name}:predict", "429", 3),
            ("/inference.GRPCInferenceService/ModelInfer", "INTERNAL", 1),
            ("/inference.GRPCInferenceService/ModelInfer", "OK", 5),
            ("/metrics", "500", 9),
        )
    ]
    usage = usage_of(["# TYPE modelservice_requests_total counter\n" + "\n".join(lines) + "\n"])
    assert (usage.requests, usage.errors) == (11, 3)


def test_no_pod_is_a_row_without_figures() -> None:
    assert usage_of([]).row("iris") == ("iris", "0", "0", "0", "", "0", "", "")
