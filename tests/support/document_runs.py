"""Which test types the commands of which document, and which commands nobody types, each with the reason.

Lines are looked at in order, and the first one that is about a command counts.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """What becomes of some commands.

    Attributes:
        page: the document.
        begins: a regular expression for how the commands begin; all where nothing is said.
        section: the heading that they stand under; any where nothing is said.
        test: who runs them, as ``file::function``.
        by: how, where the test does not take the words from the document (see ``documents.typed_by``).
        why: why nobody does.
    """

    page: str
    begins: str = ""
    section: str = ""
    test: str = ""
    by: str = ""
    why: str = ""


LAPTOP = "tests/wiring/test_laptop_docs.py::test_commands_of_a_laptop_are_done"
WALK = "tests/wiring/test_serving_docs.py::test_the_walk_through_does_what_it_shows"
TUTORIAL = "tests/wiring/test_tutorial.py::test_the_tutorial_does_what_it_shows"
TUTORIAL_IN_A_CLUSTER = "tests/e2e/test_tutorial.py::test_the_tutorial_in_a_cluster"
MODELS = "tests/e2e/test_how_to.py::test_pages_about_models_lead_where_they_say"
IMAGES = "tests/e2e/test_how_to_images.py::test_pages_about_images_lead_where_they_say"
SCALING = "tests/e2e/test_scaling.py::test_load_brings_more_replicas"
UPGRADE = (
    "tests/e2e/test_operations.py::test_a_newer_runtime_and_a_rollback_restart_no_model_under_load_but_one_that_follows"
)
ARGO_CD = "tests/gitops/test_health.py::test_the_patch_brings_the_check_and_leaves_what_else_is_set"
PACKED = "tests/wiring/test_object_store.py::test_what_is_packed_into_a_bucket_is_read_there_and_taken_over"
PICTURES = "tests/contract/test_docs_serving.py::test_commands_about_pictures_are_answered"

_REQUESTS = "tests/contract/test_docs_serving.py::test_requests_are_answered_as_shown"
_EXAMPLES = "tests/wiring/test_examples.py::test_a_row_and_a_batch_are_answered"
_PLUGIN = "tests/e2e/test_plugin.py::test_revisions_are_pulled_and_compared_from_a_terminal"
_MANIFEST = "tests/e2e/test_operations.py::test_uninstalled_and_installed_again_from_the_manifest_restarts_nothing"
_COPIED = "tests/unit/runtime/stages/test_fetch.py::test_a_folder_that_was_copied_to_a_bucket_is"
_SEVERAL = "tests/unit/runtime/cli/test_serve.py::test_several_models_are_served_by_name"
_LEAVING = "tests/wiring/test_serving.py::test_sigterm_is_not_ready_answers_on_and_ends_with_0"

_HELD = "it runs them, and holds the page to what they print"
_TARGET = "a target of make, minutes long: that there is one is tested, and `make test` is what runs the tests"
_PACKAGES = "gigabytes from a registry of packages; `make venv` installs the same from the lock"

RUNS = (
    Run("README.md", "make ", why=_TARGET),
    Run("README.md", "python3 -m venv", why=_PACKAGES),
    Run("README.md", "modelservice ", test=LAPTOP),
    Run("README.md", "head ", test=LAPTOP),
    Run("README.md", "kubectl ", test=MODELS),
    Run("CONTRIBUTING.md", "make ", why=_TARGET),
    Run("docs/elsewhere.md", r"modelservice pack .* s3:", test=PACKED),
    Run("docs/elsewhere.md", "aws ", test=_COPIED, by="the same files, put there by the test"),
    Run("docs/elsewhere.md", test=LAPTOP),
    Run("docs/how-to/api-keys.md", test=MODELS),
    Run("docs/how-to/argo-cd.md", test=ARGO_CD),
    Run("docs/how-to/autoscaling.md", test=SCALING),
    Run("docs/how-to/gpu.md", test=MODELS),
    Run("docs/how-to/ingress.md", test=MODELS),
    Run("docs/how-to/offline.md", test=IMAGES),
    Run("docs/how-to/private-registry.md", test=IMAGES),
    Run("docs/how-to/s3.md", test=MODELS),
    Run("docs/kubectl.md", "pip install", why=_PACKAGES),
    Run("docs/kubectl.md", "kubectl modelservice --help", test=MODELS),
    Run("docs/kubectl.md", section="What they print", test=_PLUGIN, by=_HELD),
    Run("docs/kubectl.md", section="Compare two revisions", test=_PLUGIN, by=_HELD),
    Run("docs/operations.md", "helm |kubectl apply", test=_MANIFEST, by="with the images of this checkout"),
    Run("docs/operations.md", "kubectl get mdsvc", section="Upgrade", test=UPGRADE),
    Run("docs/operations.md", "kubectl patch mdsvc iris|kubectl create secret", test=MODELS),
    Run("docs/serving.md", "curl -s .../", test=PICTURES),
    Run("docs/serving.md", "modelservice explain out/digits", test=PICTURES),
    Run("docs/serving.md", section="On a laptop", test=WALK),
    Run("docs/serving.md", "curl -s localhost:8080", test=_REQUESTS, by="the same requests, to the samples' models"),
    Run("docs/serving.md", "curl -s -i localhost:8080", test=_LEAVING, by="the same request, after SIGTERM"),
    Run("docs/serving.md", "(node|go|java) ", test=_EXAMPLES, by="the same programs, started in the same way"),
    Run("docs/serving.md", "kubectl port-forward", test=MODELS),
    Run(
        "docs/serving.md",
        "KEY=|kubectl create secret|curl -s --cacert",
        section="API keys",
        why="wants a certificate of the Service: test_access.py asks by TLS, docs/how-to/api-keys.md is typed without",
    ),
    Run("docs/serving.md", "modelservice serve --model iris", test=_SEVERAL, by="the same arguments, of other folders"),
    Run("docs/serving.md", test=LAPTOP),
    Run("docs/shared-encoders.md", "kubectl ", test=MODELS),
    Run("docs/shared-encoders.md", test=LAPTOP),
    Run("docs/status.md", section="In a pipeline", test=MODELS),
    Run("docs/status.md", section="Argo CD", test=ARGO_CD, by="the same words, of the how-to page"),
    Run("docs/tutorial.md", section="The same in a cluster", test=TUTORIAL_IN_A_CLUSTER),
    Run("docs/tutorial.md", test=TUTORIAL),
)
