"""Settings: read from the environment, and errors that say what to change."""

import pytest

from modelservice_operator.config import Settings, SettingsError, from_environment, variable_name

IMAGES = {
    "MODELSERVICE_TRAINER_IMAGE": "registry.example/trainer:1",
    "MODELSERVICE_SERVER_IMAGE": "registry.example/server:1",
}


def test_only_the_images_are_needed() -> None:
    settings = from_environment(IMAGES)
    assert settings == Settings(trainer_image="registry.example/trainer:1", server_image="registry.example/server:1")
    assert (settings.workers, settings.http_port, settings.log_level) == (4, 8080, "info")
    assert settings.watch_namespaces == settings.image_pull_secrets == ()
    assert settings.default_artifacts is None


def test_everything_can_be_set() -> None:
    settings = from_environment(
        {
            **IMAGES,
            "MODELSERVICE_IMAGE_PULL_POLICY": "Always",
            "MODELSERVICE_IMAGE_PULL_SECRETS": '["registry"]',
            "MODELSERVICE_DEFAULT_ARTIFACTS": '{"volumeClaim": {"size": "2Gi"}}',
            "MODELSERVICE_WATCH_NAMESPACES": '["a", "b"]',
            "MODELSERVICE_INGRESS_NAMESPACES": '["ingress-nginx"]',
            "MODELSERVICE_PROMETHEUS_NAMESPACES": '["monitoring"]',
            "MODELSERVICE_LOG_LEVEL": "debug",
            "MODELSERVICE_WORKERS": "8",
            "MODELSERVICE_HTTP_PORT": "9090",
            "POD_NAME": "operator-0",
            "POD_NAMESPACE": "ops",
            "PATH": "/bin",
        }
    )
    assert (settings.image_pull_policy, settings.image_pull_secrets) == ("Always", ("registry",))
    assert settings.default_artifacts is not None
    assert settings.default_artifacts.volume_claim is not None
    assert settings.default_artifacts.volume_claim.size == "2Gi"
    assert (settings.watch_namespaces, settings.ingress_namespaces) == (("a", "b"), ("ingress-nginx",))
    assert settings.prometheus_namespaces == ("monitoring",)
    assert (settings.log_level, settings.workers, settings.http_port) == ("debug", 8, 9090)
    assert (settings.pod_name, settings.pod_namespace) == ("operator-0", "ops")


def test_empty_texts_and_empty_lists_are_what_the_chart_writes_for_nothing() -> None:
    settings = from_environment({**IMAGES, "MODELSERVICE_DEFAULT_ARTIFACTS": "", "MODELSERVICE_WATCH_NAMESPACES": "[]"})
    assert settings.default_artifacts is None
    assert settings.watch_namespaces == ()


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("MODELSERVICE_WORKERS", "many", "1 to 64"),
        ("MODELSERVICE_WORKERS", "0", "1 to 64"),
        ("MODELSERVICE_HTTP_PORT", "70000", "1 to 65535"),
        ("MODELSERVICE_LOG_LEVEL", "loud", "debug, info, warning or error"),
        ("MODELSERVICE_IMAGE_PULL_POLICY", "Sometimes", "Always, IfNotPresent or Never"),
        ("MODELSERVICE_WATCH_NAMESPACES", "a,b", "as JSON"),
        ("MODELSERVICE_WATCH_NAMESPACES", '["Not A Name"]', "as JSON"),
        ("MODELSERVICE_DEFAULT_ARTIFACTS", "{}", "as JSON, or empty"),
        ("MODELSERVICE_IMAGE_VOLUMES", "perhaps", "true from Kubernetes 1.35 on, or false"),
        ("POD_NAMESPACE", "Ops", "where the Lease is kept"),
    ],
)
def test_errors_name_variable_value_and_remedy(variable: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        from_environment({**IMAGES, variable: value})
    text = str(caught.value)
    assert text.startswith(variable)
    assert value.strip('[]"') in text or value == "{}"
    assert expected in text


def test_within_json_the_field_is_named() -> None:
    text = '{"uri": "s3://models/"}'
    with pytest.raises(
        SettingsError, match=r"MODELSERVICE_DEFAULT_ARTIFACTS\.uri: 's3://models/': .*as JSON, or empty"
    ):
        from_environment({**IMAGES, "MODELSERVICE_DEFAULT_ARTIFACTS": text})


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(
        SettingsError, match=r"(?s)MODELSERVICE_TRAINER_IMAGE: must be set; .*MODELSERVICE_WORKERS: 'x': "
    ):
        from_environment({"MODELSERVICE_WORKERS": "x"})


def test_each_field_has_a_variable_and_says_what_it_expects() -> None:
    for name, field in Settings.model_fields.items():
        assert variable_name(name).isupper()
        assert field.description, name
