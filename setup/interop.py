"""Other people's programs, where this machine has them: `make interop`.

Nothing here is installed by OtaFlux, for Debian has no packages of it. Each check says what it ran,
or that it was skipped and why; the last line counts both. The exit code is 1 where one failed.

    oras    pushes a file to docker-registry and into the embedded folder; OtaFlux pulls both
    crane   pushes a tar as a container image's layer; OtaFlux pulls the file in it
    zot     takes what `otaflux push` pushes, and gives it back
    cosign  (or cosign2, cosign3) verifies what `otaflux push --sign-key` signs, with its own keys
            and openssl's; `otaflux verify` takes what it signs, as a referrer too, and what oras
            copies of it into the embedded folder
    helm    renders the chart
    kubernetes   kubeconform or kubectl-validate hold what helm renders against Kubernetes' schemas.
            kubeconform loads them, from KUBERNETES_SCHEMAS where that is set to a folder or an
            address (its -schema-location); kubectl-validate brings its own
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

OTAFLUX = Path(sys.executable).with_name("otaflux")
PATIENCE = 20.0  # seconds until a registry answers
CONTENT = b"interop " * 4096
SBIN = ":/usr/sbin:/usr/local/sbin"


def run(*command: str | Path, cwd: Path, **more: str) -> str:
    """A program's stdout; raises where it fails, with what it said."""
    environment = {"PATH": os.environ["PATH"] + SBIN, "HOME": str(cwd), **more}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        said = done.stderr or done.stdout
        raise RuntimeError(f"{Path(command[0]).name} exited {done.returncode}: {said}")
    return done.stdout


def pulled(cwd: Path, device: str, **settings: str) -> None:
    """OtaFlux pulls the very bytes."""
    run(OTAFLUX, "pull", device, "-o", "out.bin", cwd=cwd, **settings)
    if (cwd / "out.bin").read_bytes() != CONTENT:
        raise RuntimeError("other bytes came back")


@contextmanager
def registry(
    cwd: Path, program: str, config: Callable[[str], str], *arguments: str
) -> Iterator[str]:
    """A registry on a free port; answers `host:port`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    (cwd / "registry.conf").write_text(config(host))
    with (cwd / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            [program, *arguments, "registry.conf"], cwd=cwd, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                urllib.request.urlopen(f"http://{host}/v2/", timeout=2).close()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise RuntimeError((cwd / "registry.log").read_text()[-500:]) from None
                time.sleep(0.1)
        yield host
    finally:
        process.terminate()
        process.wait()


def docker_registry(host: str) -> str:
    """Its configuration, which is YAML, of which JSON is a part."""
    storage = {"filesystem": {"rootdirectory": "registry-data"}}
    return json.dumps({"version": 0.1, "storage": storage, "http": {"addr": host}})


def zot_config(host: str) -> str:
    """Configuration of zot."""
    address, _, port = host.partition(":")
    return json.dumps(
        {"storage": {"rootDirectory": "zot-data"}, "http": {"address": address, "port": port}}
    )


def oras(cwd: Path) -> None:
    """A file pushed by oras, to a registry and into the folder."""
    program = shutil.which("docker-registry", path=os.environ["PATH"] + SBIN)
    if program is None:
        raise LookupError("docker-registry")
    with registry(cwd, program, docker_registry, "serve") as host:
        run("oras", "push", "--plain-http", f"{host}/lamp:1.0.0", "build.bin", cwd=cwd)
        pulled(cwd, "lamp:1.0.0", REGISTRY_URL=f"http://{host}")
    layout = cwd / "data" / "registry" / "lamp"
    layout.mkdir(parents=True)
    run("oras", "push", "--oci-layout", f"{layout}:1.1.0", "build.bin", cwd=cwd)
    pulled(cwd, "lamp:1.1.0", DATA_DIR=str(cwd / "data"))


def crane(cwd: Path) -> None:
    """A container image made by crane."""
    program = shutil.which("docker-registry", path=os.environ["PATH"] + SBIN)
    if program is None:
        raise LookupError("docker-registry")
    (cwd / "firmware.bin").write_bytes(CONTENT)
    run("tar", "-cf", "layer.tar", "firmware.bin", cwd=cwd)
    with registry(cwd, program, docker_registry, "serve") as host:
        run("crane", "append", "--insecure", "-f", "layer.tar", "-t", f"{host}/lamp:1.0.0", cwd=cwd)
        pulled(cwd, "lamp:1.0.0", REGISTRY_URL=f"http://{host}")


def zot(cwd: Path) -> None:
    """A push into zot, and back."""
    with registry(cwd, "zot", zot_config, "serve") as host:
        settings = {"REGISTRY_URL": f"http://{host}"}
        run(OTAFLUX, "push", "lamp:1.0.0", "build.bin", cwd=cwd, **settings)
        pulled(cwd, "lamp:1.0.0", **settings)


COSIGNS = ("cosign", "cosign2", "cosign3")
TO_REGISTRY = ("--allow-http-registry", "--allow-insecure-registry")
# Neither log nor time stamps, for either version; each takes a flag that the other does not know.
ROOT = '{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}'
SERVICES = '{"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"}'
SIGNING = {
    "2": ("--tlog-upload=false",),
    "3": ("--signing-config", "services.json"),
}


def cosign(cwd: Path) -> None:
    """Signatures in both directions, with each cosign that is there."""
    program = shutil.which("docker-registry", path=os.environ["PATH"] + SBIN)
    if program is None:
        raise LookupError("docker-registry")
    (cwd / "root.json").write_text(ROOT)
    (cwd / "services.json").write_text(SERVICES)
    run("openssl", "genrsa", "-out", "rsa.key", "3072", cwd=cwd)
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-out", "plain.key", cwd=cwd)
    for name in ("rsa", "plain"):
        run("openssl", "pkey", "-in", f"{name}.key", "-pubout", "-out", f"{name}.pub", cwd=cwd)
    with registry(cwd, program, docker_registry, "serve") as host:
        for command in filter(shutil.which, COSIGNS):
            signed_both_ways(cwd, command, host)


def signed_both_ways(cwd: Path, command: str, host: str) -> None:
    """What OtaFlux signs one cosign verifies, and the other way round."""
    secret = {"COSIGN_PASSWORD": "interop"}
    settings = {"REGISTRY_URL": f"http://{host}", **secret}
    version = run(command, "version", "--json", cwd=cwd)
    major = str(json.loads(version)["gitVersion"]).lstrip("v")[:1]
    own = f"made-by-{command}"
    run(command, "generate-key-pair", "--output-key-prefix", own, cwd=cwd, **secret)
    later = ("sign", "-y", "--key", f"{own}.key", *SIGNING[major], *TO_REGISTRY)
    for name in (own, "rsa", "plain"):
        device = f"{command}-{name}"
        signs = ("--sign-key", f"{name}.key")
        run(OTAFLUX, "push", f"{device}:1.0.0", "build.bin", *signs, cwd=cwd, **settings)
        verifies = ("--insecure-ignore-tlog", *TO_REGISTRY, "--trusted-root", "root.json")
        reference = f"{host}/{device}:1.0.0"
        run(command, "verify", "--key", f"{name}.pub", *verifies, reference, cwd=cwd)
        run(OTAFLUX, "push", f"{device}:2.0.0", "build.bin", cwd=cwd, **settings)
        run(command, *later, f"{host}/{device}:2.0.0", cwd=cwd, **secret)
        for version, key in (("1.0.0", name), ("2.0.0", own)):
            trust = {**settings, "COSIGN_PUB_KEY_PATH": f"{key}.pub"}
            run(OTAFLUX, "verify", f"{device}:{version}", cwd=cwd, **trust)
    trust = {**settings, "COSIGN_PUB_KEY_PATH": f"{own}.pub"}
    if major == "2":
        attaches = (*later, "--registry-referrers-mode=oci-1-1")
        device = f"{command}-attached"
        run(OTAFLUX, "push", f"{device}:1.0.0", "build.bin", cwd=cwd, **settings)
        experimental = {**secret, "COSIGN_EXPERIMENTAL": "1"}
        run(command, *attaches, f"{host}/{device}:1.0.0", cwd=cwd, **experimental)
        run(OTAFLUX, "verify", f"{device}:1.0.0", cwd=cwd, **trust)
    elif shutil.which("oras"):
        device = f"{command}-{own}"
        copy = cwd / "data" / "registry" / device
        copy.parent.mkdir(parents=True, exist_ok=True)
        source = ("--from-plain-http", f"{host}/{device}:2.0.0")
        run("oras", "cp", "-r", *source, "--to-oci-layout", f"{copy}:2.0.0", cwd=cwd)
        folder = {"COSIGN_PUB_KEY_PATH": f"{own}.pub", "DATA_DIR": str(cwd / "data")}
        run(OTAFLUX, "verify", f"{device}:2.0.0", cwd=cwd, **folder)


CHART = Path(__file__).resolve().parents[1] / "deploy/helm"
VALUES = (
    "persistence.enabled=true",
    "otaflux.registry.url=https://r,replicaCount=3,otaflux.mqtt.url=mqtt://b",
    "ingress.enabled=true,persistence.enabled=false,otaflux.webhookSecret=s",
    "otaflux.existingSecret=mine,otaflux.cosignPubKey=x,settings.KEEP_VERSIONS=5",
    (
        "volumes[0].name=tls,volumes[0].secret.secretName=tls,volumeMounts[0].name=tls,"
        "volumeMounts[0].mountPath=/tls,settings.TLS_CERT_PATH=/tls/tls.crt"
    ),
    (
        "service.type=LoadBalancer,resources.limits.memory=512Mi,tolerations[0].operator=Exists,"
        "nodeSelector.disk=ssd,imagePullSecrets[0].name=mine,podLabels.team=boards"
    ),
    (
        "podSecurityContext=null,securityContext.runAsUser=null,securityContext.runAsGroup=null,"
        "livenessProbe=null,serviceAccount.create=false"
    ),
)


# Of a StatefulSet's name: its pods' label `controller-revision-hash` has it and 11 characters more.
LONGEST = 52

# What YAML and templates read in their own way, and has to reach the pod as it was written.
WRITTEN = """it's "q" \\ {{ .Values }} #x: y"""
SET = {
    "UNITS": (1000000, "1000000"),
    "RECHECK_INTERVAL": (0.5, "0.5"),
    "REQUIRE_BOUND_TAG": (True, "true"),
    "COSIGN_IDENTITY": ("/a: b/ #c", "/a: b/ #c"),
}
REFUSED = {
    "replicaCount=2": "needs otaflux.registry.url",
    "replicaCount=2,otaflux.registry.url=https://r": "needs otaflux.mqtt.url",
    "settings.LISTEN_ADDR=x": "LISTEN_ADDR",
    "otaflux.listenAddr=0.0.0.0:99": "otaflux/listenAddr",
}


def helm(cwd: Path) -> list[Path]:
    """The chart with several sets of values, hostile ones too."""
    run("helm", "lint", "--strict", CHART, cwd=cwd)
    for given, reason in REFUSED.items():
        try:
            run("helm", "template", "x", CHART, "--set", given, cwd=cwd)
        except RuntimeError as error:
            if reason not in str(error):
                raise
        else:
            raise RuntimeError(f"{given} is not refused")
    given = {name: value for name, (value, _) in SET.items()}
    values = {"otaflux": {"webhookSecret": WRITTEN}, "settings": given}
    (cwd / "values.yaml").write_text(json.dumps(values))
    text = run("helm", "template", "x", CHART, "-f", "values.yaml", cwd=cwd)
    made = {each["kind"]: each for each in yaml.safe_load_all(text)}
    for name, (_, there) in SET.items():
        if made["ConfigMap"]["data"][name] != there:
            raise RuntimeError(f"{name} became {made['ConfigMap']['data'][name]!r}")
    if made["Secret"]["stringData"]["webhook-secret"] != WRITTEN:
        raise RuntimeError("a secret became another")
    text = run("helm", "template", 53 * "x", CHART, cwd=cwd)
    names = {each["kind"]: each["metadata"]["name"] for each in yaml.safe_load_all(text)}
    if len(names["StatefulSet"]) > LONGEST:
        raise RuntimeError(f"the name {names['StatefulSet']} is too long for a StatefulSet")
    rendered = [cwd / f"{number}.yaml" for number in range(len(VALUES))]
    for path, given in zip(rendered, VALUES, strict=True):
        path.write_text(run("helm", "template", "x", CHART, "--set", given, cwd=cwd))
    return rendered


def kubernetes(cwd: Path) -> None:
    """What helm renders, against Kubernetes' schemas."""
    if not shutil.which("helm"):
        raise LookupError("helm")
    rendered = helm(cwd)
    if shutil.which("kubectl-validate"):
        run("kubectl-validate", *rendered, cwd=cwd)
        return
    where = ("-schema-location", os.environ.get("KUBERNETES_SCHEMAS", "default"))
    try:
        run("kubeconform", "-strict", "-ignore-missing-schemas", *where, *rendered, cwd=cwd)
    except RuntimeError as error:
        if "failed downloading schema" in str(error):
            raise LookupError("the schemas, which kubeconform cannot load here") from None
        raise


CHECKS: dict[Callable[[Path], object], tuple[str, ...]] = {
    oras: ("oras",),
    crane: ("crane",),
    zot: ("zot",),
    cosign: COSIGNS,
    helm: ("helm",),
    kubernetes: ("kubeconform", "kubectl-validate"),
}


def main() -> int:
    """Run what can be run; answers 1 where something failed."""
    passed = failed = skipped = 0
    for check, programs in CHECKS.items():
        name = check.__name__
        if not any(map(shutil.which, programs)):
            skipped += 1
            print(f"skipped  {name}: {' or '.join(programs)} is not installed")
            continue
        with tempfile.TemporaryDirectory(prefix="otaflux-interop-") as folder:
            (Path(folder) / "build.bin").write_bytes(CONTENT)
            try:
                check(Path(folder))
            except LookupError as missing:
                skipped += 1
                print(f"skipped  {name}: needs {missing}")
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                failed += 1
                print(f"FAILED   {name}: {error}")
            else:
                passed += 1
                print(f"ran      {name}: {(check.__doc__ or '').lower().rstrip('.')}")
    print(f"interop: {passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
