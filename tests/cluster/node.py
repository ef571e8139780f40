"""containerd, kubelet and kube-proxy of one node."""

import json
from pathlib import Path

import yaml
from tests.cluster import cgroups, pki
from tests.cluster.controlplane import healthy
from tests.cluster.network import DNS_SERVICE_IP, POD_RANGES, REGISTRY, NodeAddress
from tests.cluster.paths import CONFIG, PKI, RUN, STATE, write_if_changed
from tests.cluster.processes import Component
from tests.cluster.shell import run
from tests.cluster.toolchain import binary

NETWORK = "modelservice"
CNI_PLUGINS = "/usr/lib/cni"  # where Debian's containernetworking-plugins puts them


def folder(node: NodeAddress) -> Path:
    """What the node keeps over a reboot: images, containers, volumes of pods."""
    return STATE / "nodes" / node.name


def socket(node: NodeAddress) -> Path:
    """containerd's socket."""
    return RUN / node.name / "containerd.sock"


def hosts_folder() -> Path:
    """Which registry stands for which host name, for containerd and `ctr`."""
    return CONFIG / "hosts"


def prepare(node: NodeAddress) -> None:
    """Write the node's configuration and make its folders and its cgroup."""
    cgroups.ensure(node.name)
    pki.ensure_node(node)
    for path in (folder(node), RUN / node.name):
        path.mkdir(parents=True, exist_ok=True, mode=0o711)
    # Images are called localhost/... wherever they were built; a node fetches them from the machine's registry.
    mirror = f'server = "http://{REGISTRY}"\n[host."http://{REGISTRY}"]\ncapabilities = ["pull", "resolve"]\n'
    for host in ("localhost", REGISTRY):
        write_if_changed(hosts_folder() / host / "hosts.toml", mirror)
    write_if_changed(_config(node, "cni") / "10-bridge.conflist", json.dumps(_cni(node), indent=1))


def _config(node: NodeAddress, name: str) -> Path:
    return CONFIG / node.name / name


def _cni(node: NodeAddress) -> dict[str, object]:
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,  # a pod may reach itself through its Service
        "ipMasq": False,  # pods' addresses are routed everywhere
        "ipam": {
            "type": "host-local",
            "dataDir": str(RUN / node.name / "cni"),
            "ranges": [[{"subnet": node.pod_range}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": NETWORK, "plugins": [bridge, portmap]}


def containerd(node: NodeAddress, pause_image: str) -> Component:
    """Build containerd; its root, state, socket and CNI data are the node's own."""
    path = _config(node, "containerd.toml")
    runtime = "plugins.'io.containerd.cri.v1.runtime'"
    images = "plugins.'io.containerd.cri.v1.images'"
    write_if_changed(
        path,
        f"""version = 3
root = '{folder(node) / "containerd"}'
state = '{RUN / node.name / "containerd"}'
[grpc]
address = '{socket(node)}'
[{images}.pinned_images]
sandbox = '{pause_image}'
[{images}.registry]
config_path = '{hosts_folder()}'
[{runtime}]
# Without CAP_SYS_RESOURCE a lower oom_score_adj is refused, and runc dies of it.
restrict_oom_score_adj = true
# So that teardown finds the pods' network namespaces.
netns_mounts_under_state_dir = true
[{runtime}.cni]
bin_dirs = ['{CNI_PLUGINS}']
conf_dir = '{_config(node, "cni")}'
[{runtime}.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
[{runtime}.containerd.runtimes.runc.options]
SystemdCgroup = false
Root = '{RUN / node.name / "runc"}'
""",
    )
    shims = Path(binary("containerd")).parent
    return Component(
        name=f"containerd-{node.name}",
        argv=[binary("containerd"), "--config", str(path), "--log-level", "warn"],
        netns=node.name,
        env={"PATH": f"{shims}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        files=[path],
        ready=lambda: run(binary("ctr"), "--address", socket(node), "version", check=False).returncode == 0,
    )


def kubelet(node: NodeAddress) -> Component:
    """Build the kubelet."""
    kubeconfig = pki.write_kubeconfig(PKI / f"kubelet-{node.name}.kubeconfig", f"kubelet-{node.name}")
    config = _config(node, "kubelet.yaml")
    write_if_changed(config, yaml.safe_dump(_kubelet_configuration(node)))
    argv = [
        binary("kubelet"),
        f"--config={config}",
        f"--kubeconfig={kubeconfig}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.ip}",
        f"--root-dir={folder(node) / 'kubelet'}",
    ]
    return Component(
        name=f"kubelet-{node.name}",
        argv=argv,
        netns=node.name,
        files=[config, kubeconfig],
        ready=lambda: healthy(10250, "/healthz", host=node.ip),
    )


def _kubelet_configuration(node: NodeAddress) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.ip,
        "authentication": {
            "x509": {"clientCAFile": str(pki.CA)},
            "webhook": {"enabled": True},
            "anonymous": {"enabled": False},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki.certificate(f"kubelet-{node.name}")),
        "tlsPrivateKeyFile": str(pki.key(f"kubelet-{node.name}")),
        "containerRuntimeEndpoint": f"unix://{socket(node)}",
        "cgroupDriver": "cgroupfs",  # no systemd is asked for
        "cgroupRoot": f"/{node.name}",
        "failCgroupV1": False,
        "enforceNodeAllocatable": [],
        "clusterDNS": [DNS_SERVICE_IP],
        "clusterDomain": "cluster.local",
        "resolvConf": "",  # pods ask the cluster only, never the machine's resolvers
        "podLogsDir": str(folder(node) / "pod-logs"),
        "volumePluginDir": str(folder(node) / "volume-plugins"),
        "oomScoreAdj": 0,  # lowering it may be refused
        "makeIPTablesUtilChains": False,  # kube-proxy uses nftables
        "maxPods": 250,
        "imageGCHighThresholdPercent": 100,  # the machine's disk belongs to others too
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "serializeImagePulls": False,
        "shutdownGracePeriod": "0s",
        "healthzPort": 0,
        "failSwapOn": False,
    }


def kube_proxy(node: NodeAddress) -> Component:
    """Build kube-proxy."""
    kubeconfig = pki.write_kubeconfig(PKI / "kube-proxy.kubeconfig", "kube-proxy")
    config = _config(node, "kube-proxy.yaml")
    settings = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "hostnameOverride": node.name,
        "bindAddress": node.ip,
        "healthzBindAddress": f"{node.ip}:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "oomScoreAdj": 0,
        # What comes from the machine is masqueraded, so that answers from the other node's pods come back this way.
        "clusterCIDR": POD_RANGES,
        "conntrack": {"maxPerCore": 0, "min": 0},  # these limits belong to the machine
    }
    write_if_changed(config, yaml.safe_dump(settings))
    return Component(
        name=f"kube-proxy-{node.name}",
        argv=[binary("kube-proxy"), f"--config={config}"],
        netns=node.name,
        files=[config, kubeconfig],
        ready=lambda: healthy(10256, "/livez", tls=False, host=node.ip),
    )
