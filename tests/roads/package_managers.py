"""Runbook 2.1 and 2.2.1: packages by real dnf, yum and apt from repositories of our own, and Docker as three rpms."""
from real import rpm

from parts import distribution as dist
from parts.origin import Origin

DOCKER = "20.10.24"
NAMES = list(rpm.DOCKER_NAMES)


def make_repositories(work):
    served = work / "served"
    for folder in ("rpm", "old", "apt"):
        (served / folder).mkdir(parents=True)
    rpm.build_rpm(served / "old", "kernel-tools-roads", "1.0")
    rpm.create_repository(served / "old")
    for name, version, tags in (("wget", "1.21.3", {}), ("kernel-tools-roads", "2.0", {}), ("podman-docker", "4.9.4", {"conflicts": "docker-ce"}),
                                ("needs-gone", "1.0", {"requires": "libgone.so.1"})):
        rpm.build_rpm(served / "rpm", name, version, **tags)
    rpm.docker_rpms(served / "rpm", dist.base().parent / "docker.tgz", DOCKER)
    for name in NAMES[:2]:
        # A newer one, which holds no program.
        rpm.build_rpm(served / "rpm", name, "99.0.1", epoch="3")
    rpm.create_repository(served / "rpm")
    debs = [dist.build_deb(served / "apt", "roads-tool", "1.0"), dist.build_deb(served / "apt", "docker-ce", f"5:{DOCKER}-1~debian.12~bookworm"),
            dist.build_deb(served / "apt", "docker-ce", "5:99.0.1-1~debian.12~bookworm"),
            dist.build_deb(served / "apt", "docker-ce-cli", f"5:{DOCKER}-1~debian.12~bookworm"), dist.build_deb(served / "apt", "containerd.io", "1.6.20-1"),
            dist.build_deb(served / "apt", "needs-gone", "1.0", Depends="libgone (>= 7)")]
    dist.create_apt_repository(served / "apt", debs)
    return Origin(work, served)


def repository(origin, folder="rpm"):
    return f"[roads]\nname=roads\nbaseurl={origin.url}/{folder}/\nenabled=1\ngpgcheck=0\nskip_if_unavailable=0\nretries=1\nmetadata_expire=1\n"


def install(node, *names, **more):
    return node.apply("packages", install_packages={"install": names, **more})


def families(checks, build, work, origin):
    for what, release, family in (("openEuler", rpm.OPENEULER, "dnf"), ("Kylin", dist.KYLIN, "dnf"), ("Rocky", dist.ROCKY, "dnf"), ("CentOS", dist.CENTOS, "yum")):
        with dist.DistributionNode(build, work, release, repository(origin), family) as node:
            outcome = install(node, "wget")
            command = next((line for line in outcome.lines if line.startswith("$ ")), "")
            checks.that(f"{what}: wget by {family}", outcome.succeeded and f"/{family} install -y wget" in command
                        and node.run("rpm", "-q", "wget").stdout.startswith("wget-1.21.3"), outcome, command)


def by_dnf(checks, build, work, origin):
    with dist.DistributionNode(build, work, rpm.OPENEULER, repository(origin, "old")) as node:
        checks.succeeds("a package of an older repository", install(node, "kernel-tools-roads"))
        node.write("etc/yum.repos.d/roads.repo", repository(origin))
        checks.succeeds("nothing is updated unless the spec asks", install(node, "wget"), "wget")
        version = node.run("rpm", "-q", "kernel-tools-roads").stdout
        checks.that("what was there keeps its version", version.startswith("kernel-tools-roads-1.0"), version)
        checks.succeeds("an update when the spec asks", install(node, "wget", update=True))
        version = node.run("rpm", "-q", "kernel-tools-roads").stdout
        checks.that("what was there is newer now", version.startswith("kernel-tools-roads-2.0"), version)
        again = install(node, "wget", update=True)
        checks.that("and only once", again.succeeded and not any(line.startswith("$") for line in again.lines), again)
        checks.fails("a package that no repository has", install(node, "wget", "nosuch-roads"), "CONFIG", "nosuch-roads", signature="PKG-02")
        checks.fails("a package whose dependency is missing", install(node, "needs-gone"), "NEEDS_OPERATOR", "libgone", signature="PKG-07")
        checks.that("it was not installed", node.run("rpm", "-q", "needs-gone").returncode != 0)


def docker_by_dnf(checks, build, work, origin):
    def docker(node, version="", **more):
        return node.apply("docker", install_docker={"docker": {"packages": {"names": NAMES, "version": version}, **more}})
    with dist.DistributionNode(build, work, dist.ROCKY, repository(origin)) as node:
        checks.fails("a version that no repository has", docker(node, "27.1.1"), "CONFIG", "27.1.1", signature="PKG-02")
        checks.succeeds("podman's own docker", install(node, "podman-docker"))
        checks.fails("a conflict of a package with one that is there", install(node, "docker-ce"), "NEEDS_OPERATOR", "conflicts", "podman-docker",
                     signature="PKG-05")
        checks.that("the one that was there stays, and nothing is half installed", node.run("rpm", "-q", "podman-docker").returncode == 0
                    and node.run("rpm", "-q", *NAMES).stdout.count("not installed") == 3, node.run("rpm", "-q", *NAMES).stdout)
        checks.fails("a package conflict", docker(node, DOCKER), "NEEDS_OPERATOR", "conflicts", signature="PKG-05")
        checks.that("nothing half installed", node.run("rpm", "-q", *NAMES).stdout.count("not installed") == 3, node.run("rpm", "-q", *NAMES).stdout)
        node.run("rpm", "-e", "podman-docker")
        outcome = docker(node, DOCKER)
        checks.succeeds("docker-ce, docker-ce-cli and containerd.io, pinned, and the daemon answers", outcome)
        installed = node.run("rpm", "-q", *NAMES).stdout
        checks.that("the pinned version, not the newest", installed.count(f"-{DOCKER}-") == 2 and "containerd.io-1.6.20" in installed, installed, installed.replace("\n", " "))
        checks.that("enabled and started by systemd's name", "enable docker.service" in node.read("run/systemctl.log"), node.read("run/systemctl.log"))
        again = docker(node, DOCKER)
        checks.that("a second time nothing is done", again.succeeded and not again.operation.get("changed"), again)
        checks.that("a newer daemon than the minimum is left alone",
                    node.check("docker", install_docker={"docker": {"packages": {"names": NAMES, "version": "28.0.4"}, "minimum_version": "20.10.0"}})
                    .get("state") == "PRESENT")
    with dist.DistributionNode(build, work, dist.ROCKY, repository(origin)) as node:
        origin.fault("/rpm/repodata/*", "status", status=503, times=0)
        checks.fails("a repository that answers 503", install(node, "wget"), "TRANSIENT", "roads", signature="PKG-04")
        origin.heal()
        node.write("etc/yum.repos.d/roads.repo", repository(origin).replace(origin.url, "http://127.0.0.1:9"))
        checks.fails("a repository that is down", install(node, "wget"), "TRANSIENT", signature="PKG-01")
        outcome = install(node, "wget", update=True)
        checks.fails("a repository that is down while an update is asked for", outcome, "TRANSIENT", "127.0.0.1", signature="PKG-01")
        checks.fails("a repository that is down while Docker's packages are needed", docker(node, DOCKER), "TRANSIENT", "127.0.0.1")
        checks.that("nothing of Docker is half installed", node.run("rpm", "-q", *NAMES).stdout.count("not installed") == 3, node.run("rpm", "-q", *NAMES).stdout)
        node.write("etc/yum.repos.d/roads.repo", repository(origin).replace("gpgcheck=0", "gpgcheck=1"))
        checks.fails("a node without the keys of its repositories", install(node, "wget"), "NEEDS_OPERATOR", signature="PKG-06")
        node.write("etc/yum.repos.d/roads.repo", repository(origin).replace("gpgcheck=0", "gpgcheck=1\ngpgkey=file:///etc/pki/roads"))
        checks.fails("a package that nobody signed", install(node, "wget"), "NEEDS_OPERATOR", "GPG check FAILED", signature="PKG-06")
        checks.that("none of them was installed", node.run("rpm", "-q", "wget").returncode != 0)


def by_apt(checks, build, work, origin):
    source = f"deb [trusted=yes] {origin.url}/apt ./\n"
    with dist.DistributionNode(build, work, dist.DEBIAN, source, "apt") as node:
        skipped = install(node, "roads-tool", skip_on_apt=True)
        checks.that("apt systems skip what the runbook skips", skipped.succeeded and "skipped" in skipped.observation.get("facts", {}), skipped)
        checks.succeeds("a package by apt", install(node, "roads-tool"), "roads-tool")
        checks.that("dpkg has it", "install ok installed" in node.run("dpkg-query", "-W", "-f=${Status}", "roads-tool").stdout)
        checks.fails("a package that apt does not know", install(node, "nosuch-roads"), "CONFIG", "nosuch-roads", signature="PKG-02")
        checks.fails("a package that apt cannot satisfy", install(node, "needs-gone"), "NEEDS_OPERATOR", signature="PKG-05")
        packages = {"names": NAMES, "version": "27.1.1"}
        checks.fails("a version that apt does not have", node.apply("docker", install_docker={"docker": {"packages": packages}}), "CONFIG", "27.1.1", "99.0.1")
        node.apply("docker", seconds=200, install_docker={"docker": {"packages": {**packages, "version": DOCKER}}})
        version = node.run("dpkg-query", "-W", "-f=${Version}", "docker-ce").stdout
        checks.that("a pin without epoch and revision finds the whole version", version == f"5:{DOCKER}-1~debian.12~bookworm", version)
        node.write("etc/apt/sources.list", "deb [trusted=yes] http://127.0.0.1:9/apt ./\n")
        outcome = install(node, "roads-other")
        checks.fails("a repository that is down", outcome, "TRANSIENT", "127.0.0.1:9", signature="PKG-04")


def run(checks, build, work):
    if reason := dist.cannot():
        return checks.skip("packages", reason)
    origin = make_repositories(work)
    try:
        families(checks, build, work, origin)
        by_dnf(checks, build, work, origin)
        docker_by_dnf(checks, build, work, origin)
        by_apt(checks, build, work, origin)
    finally:
        origin.end()
    return None
