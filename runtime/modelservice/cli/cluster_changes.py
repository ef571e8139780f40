"""Commands of ``kubectl modelservice`` that say what would change, and change it where they are told to."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Final

from modelservice.cli.terminal import print_json
from modelservice.contract.exit_codes import ExitCode

if TYPE_CHECKING:
    from modelservice.cluster.access import Access, Object
    from modelservice.cluster.pinning import Patch
    from modelservice.contract.resource import ModelServiceSpec

_FOR_GIT: Final = "The change for Git, or by hand where no Git is master of it:"
_UNCHANGED: Final = "\nNothing was changed: --apply does it. The apiserver would take it.\n"


def plan_file(parsed: argparse.Namespace, access: "Access") -> int:
    """What applying a file would come to."""
    from modelservice.cluster.errors import NotFoundError  # noqa: PLC0415
    from modelservice.cluster.planning import data_digest, final_keys, known_keys, plan  # noqa: PLC0415
    from modelservice.stages.documents import ResourceError, read_resource  # noqa: PLC0415

    try:
        resource = read_resource(parsed.file)
    except ResourceError as error:
        raise ValueError(f"{parsed.file} would be refused:\n{error}") from None
    metadata, spec = resource.service.metadata, resource.service.spec
    name = metadata.name
    if parsed.namespace is None and "namespace" in metadata.model_fields_set:
        access.namespace = metadata.namespace  # as kubectl apply takes it
    try:
        live = access.service(name)
    except NotFoundError:
        live = None
    document = resource.service.model_dump(mode="json", by_alias=True, exclude_unset=True)
    wanted = access.stored(document, live)["spec"]
    source = None if spec.data is None or not spec.reads_data else spec.known_data.config_map
    config_map = None
    if source is not None:
        config_map = resource.config_maps.get(source.name) or access.config_map(source.name)
    digest, asked = data_digest(spec, config_map), _asked(spec, access)
    keys = None if digest is None or asked is None else final_keys(asked, digest)
    records = access.children(name).get("ControllerRevision", ()) if live else ()
    told = {} if asked is not None else {"missing": "the encoder that model.encoder.service names does not answer"}
    steps = plan(live, wanted, keys, known_keys(live, records), **told)
    if parsed.output:
        return print_json([step._asdict() for step in steps])
    sys.stdout.write(f"{name} in namespace {access.namespace}{'' if live else ', which is new'}:\n")
    for step in steps:
        sys.stdout.write(f"  {'!' if step.costs else '-'} {step.said}\n")
    if any(step.costs for step in steps):
        sys.stdout.write("  (! a Job runs)\n")
    return ExitCode.DONE


def _asked(spec: "ModelServiceSpec", access: "Access") -> "ModelServiceSpec | None":
    """The spec with the digest of the encoder that it names, None where that does not answer."""
    from modelservice.cluster.errors import NotFoundError  # noqa: PLC0415
    from modelservice.cluster.planning import with_encoder  # noqa: PLC0415

    if spec.shared_encoder is None:
        return spec
    try:
        return with_encoder(spec, access.service(spec.shared_encoder.name))
    except NotFoundError:
        return with_encoder(spec, None)


def pin(command: str, parsed: argparse.Namespace, access: "Access") -> int:
    """Another revision is to serve, or the newest again: ``rollback`` and ``promote``."""
    from modelservice.cluster import pinning  # noqa: PLC0415

    service = access.service(parsed.name)
    records = access.children(parsed.name).get("ControllerRevision", ())
    patch: Patch = getattr(pinning, command)(service, parsed.number, records)
    if parsed.output:
        print_json(patch.change)
    else:
        sys.stdout.write(f"{patch.said}.\n\n{_FOR_GIT}\n  {_patching(parsed.name, patch.change, access)}\n")
    access.patch(parsed.name, patch.change, dry_run=not parsed.apply)
    return _done(parsed)


def retry(parsed: argparse.Namespace, access: "Access") -> int:
    """Another attempt at what failed for good."""
    from modelservice.cluster import retrying  # noqa: PLC0415

    found = retrying.retry(access.service(parsed.name), access.children(parsed.name).get("Job", ()))
    if parsed.output:
        print_json(found._asdict())
    elif found.change is not None:
        sys.stdout.write(f"{found.said}.\n\n{_FOR_GIT}\n  {_patching(parsed.name, found.change, access)}\n")
    else:
        sys.stdout.write(f"{found.said}.\n\nBy hand:\n  kubectl delete job {found.job} -n {access.namespace}\n")
    if found.change is not None:
        access.patch(parsed.name, found.change, dry_run=not parsed.apply)
    elif found.job is not None and found.uid is not None:
        access.delete_job(found.job, found.uid, dry_run=not parsed.apply)
    return _done(parsed)


def _patching(name: str, change: "Object", access: "Access") -> str:
    return f"kubectl patch mdsvc {name} -n {access.namespace} --type=merge -p '{json.dumps(change)}'"


def _done(parsed: argparse.Namespace) -> int:
    if parsed.apply:
        sys.stderr.write("applied\n")
    elif not parsed.output:
        sys.stdout.write(_UNCHANGED)
    return ExitCode.DONE
