"""What sort of thing a subject is, in a word of a fixed list: all that a model learns of a name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from perflens.analysis import Subject

__all__ = ["OTHER", "PROGRAMS", "class_of", "program_of"]

OTHER = "other"

_PROGRAMS = {
    "database": "postgres postgresql mysqld mysql mariadbd mariadb mongod mongodb redis redis-server sqlite3 clickhouse cassandra influxd "
    "oracle sqlservr",
    "web": "nginx httpd apache2 caddy haproxy envoy traefik lighttpd php-fpm",
    "queue": "rabbitmq kafka zookeeper nats-server beam.smp",
    "search": "elasticsearch opensearch solr",
    "monitoring": "prometheus grafana telegraf node_exporter victoria-metrics loki fluentd fluent-bit filebeat vector perflens",
    "backup": "rsync tar borg restic rclone pg_dump pg_basebackup mysqldump xtrabackup duplicity bacula-fd backup",
    "package-manager": "apt apt-get dpkg yum dnf rpm pacman snapd unattended-upgr packagekitd",
    "container-runtime": "dockerd docker containerd containerd-shim kubelet crio podman runc buildkitd",
    "build": "gcc cc1 cc1plus g++ clang ld make ninja cargo rustc javac bazel go node npm",
    "interpreter": "python python3 java ruby perl php nodejs",
    "shell": "sh bash zsh dash fish sudo",
    "file-tool": "dd cp mv find grep gzip xz zstd md5sum sha256sum updatedb mlocate fio stress-ng",
    "log": "journald systemd-journald systemd-journal rsyslogd syslog-ng logrotate auditd",
    "scheduler": "cron crond anacron atd",
    "init": "systemd init systemd-udevd",
    "remote-access": "sshd ssh",
    "file-server": "nfsd smbd ganesha.nfsd glusterfsd ceph-osd minio",
    "virtual-machine": "qemu qemu-system-x86 qemu-kvm libvirtd firecracker",
    "maintenance": "fstrim e4defrag fsck btrfs mdadm smartd",
    "kernel-writeback": "kworker flush bdi-default",
    "kernel-journal": "jbd2 xfsaild btrfs-transacti",
    "kernel-memory": "kswapd kcompactd khugepaged oom_reaper",
    "kernel": "ksoftirqd migration rcu_sched rcu_preempt kthreadd swapper loop nvme md",
}
PROGRAMS: Mapping[str, str] = MappingProxyType({name: own for own, names in _PROGRAMS.items() for name in names.split()})
"""The class of a program by its name."""

_OWNERS = {"system.slice": "system", "user.slice": "user-session", "kubepods": "pod", "kubepods.slice": "pod"}
_DEVICES = (
    (r"nvme\d.*", "nvme"),
    (r"sd[a-z]+\d*", "scsi-disk"),
    (r"(?:vd|xvd)[a-z]+\d*", "virtual-disk"),
    (r"dm-\d+", "device-mapper"),
    (r"md\d+.*", "raid"),
    (r"loop\d+", "loop"),
    (r"zram\d+", "zram"),
    (r"mmcblk\d+.*", "flash-card"),
    (r"nbd\d+|rbd\d+", "network-disk"),
)
_DIRECTORIES = (
    ("/var/lib/postgresql/", "database-data"),
    ("/var/lib/mysql/", "database-data"),
    ("/var/lib/docker/", "container-data"),
    ("/var/lib/containerd/", "container-data"),
    ("/var/log/", "log"),
    ("/var/cache/", "cache"),
    ("/var/spool/", "spool"),
    ("/var/backups/", "backup"),
    ("/var/tmp/", "temporary"),  # noqa: S108
    ("/tmp/", "temporary"),  # noqa: S108
    ("/run/", "runtime"),
    ("/home/", "home"),
    ("/root/", "home"),
    ("/etc/", "configuration"),
    ("/usr/", "program"),
    ("/opt/", "program"),
    ("/boot/", "boot"),
    ("/proc/", "proc"),
    ("/sys/", "sys"),
    ("/dev/", "device-node"),
    ("/srv/", "service-data"),
    ("/mnt/", "mounted-data"),
    ("/var/", "variable-data"),
)
_KNOWN = "conf csv db gz ibd img iso jar journal json log parquet py qcow2 so sql sqlite tar tmp txt wal xml yaml zip zst"
_EXTENSIONS = frozenset(_KNOWN.split())
_PID = re.compile(r"\[\d+\]\Z")
_UNIT = re.compile(r"\.(?:service|scope|slice|socket|timer|mount)\Z")
_INSTANCE = re.compile(r"[@:/\-].*\Z", re.DOTALL)


def class_of(subject: Subject) -> str:
    """Return its class, ``other`` for an unknown one; of a file the role of its directory and a known extension."""
    match subject.kind:
        case "host":
            return "host"
        case "device":
            name = subject.name.removeprefix("/dev/")
            return next((own for form, own in _DEVICES if re.fullmatch(form, name)), OTHER)
        case "file":
            return _class_of_file(subject.name)
        case _:
            return _class_of_program(subject.name)


def program_of(name: str) -> str:
    """Return the name of a program without the rest of ``comm[pid]`` or of a unit's path."""
    return _UNIT.sub("", _PID.sub("", name).rpartition("/")[2] or name)


def _class_of_program(name: str) -> str:
    if known := _OWNERS.get(name.removeprefix("Unit/").strip("/")):
        return known
    program = program_of(name)
    bare = _PID.sub("", name)
    for candidate in (program, _INSTANCE.sub("", program), _INSTANCE.sub("", bare), program.rstrip("0123456789")):
        if known := PROGRAMS.get(candidate):
            return known
    return OTHER


def _class_of_file(path: str) -> str:
    role = next((own for prefix, own in _DIRECTORIES if path.startswith(prefix)), OTHER)
    _, dot, extension = path.rpartition("/")[2].rpartition(".")
    return f"{role} .{extension}" if dot and extension in _EXTENSIONS else role
