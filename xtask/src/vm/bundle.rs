//! A container as a kubelet and its runtime make it of deploy/kubernetes: an OCI runtime bundle (runtime-spec v1.0.2: config.md, config-linux.md).

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::containers;
use super::guest::{Guest, Vf};

/// Where the image is unpacked in the guest.
const BUNDLE: &str = "/bundle";
const USER: u32 = 1000;
/// In the guest; in the container it is `/dev/termination-log`, as a kubelet mounts it.
const TERMINATION_LOG: &str = "/tmp/termination-log";
/// The device plugin's variable for the resource `intel.com/vf_vfio`.
const VARIABLE: &str = "PCIDEVICE_INTEL_COM_VF_VFIO";
/// Room for what the kernel counts, RSS, page tables and tmpfs.
const MEMORY_BYTES: u64 = 128 << 20;
const CPU_PERIOD_US: u64 = 100_000;

/// What the container is given. By default all that it needs.
#[derive(Clone)]
pub(super) struct Grants {
    /// Owner of the node of the VF's group; nothing where it has no such node.
    pub(super) node_owner: Option<u32>,
    pub(super) memlock_bytes: u64,
    pub(super) hugetlb_bytes: u64,
    /// As cgroups write them.
    pub(super) cpus: &'static str,
    /// CPU time in thousandths of a CPU.
    pub(super) quota_milli: Option<u64>,
}

impl Default for Grants {
    fn default() -> Self {
        // 8 MiB is the kernel's own default limit, and what service managers leave.
        Self { node_owner: Some(USER), memlock_bytes: 8 << 20, hugetlb_bytes: 16 << 20, cpus: "0-1", quota_milli: None }
    }
}

/// Mounts what containers need where the guest has not, and removes what an earlier scenario left.
pub(super) fn prepare(guest: &mut Guest) -> Result<()> {
    let mount = "mountpoint -q /sys/fs/cgroup || mount -t cgroup2 cgroup2 /sys/fs/cgroup";
    let controllers = "for c in cpuset cpu memory hugetlb pids; do echo +$c > /sys/fs/cgroup/cgroup.subtree_control; done";
    let remove = "for runtime in crun runc; do $runtime delete --force pod 2> /dev/null; done; true";
    guest.run(&format!("{mount} && {controllers}; {remove}")).map(drop)
}

/// Writes the bundle's configuration and gives the command that runs it with this runtime.
pub(super) fn write(guest: &mut Guest, runtime: &str, vf: &Vf, args: &[String], grants: &Grants) -> Result<String> {
    let config = config(guest, vf, args, grants)?;
    guest.run(&format!("cat > {BUNDLE}/config.json <<'END'\n{config}\nEND\n: > {TERMINATION_LOG}; chmod 666 {TERMINATION_LOG}"))?;
    // An initramfs is no mount that a process could pivot away from.
    Ok(format!("exec {runtime} run --no-pivot --bundle {BUNDLE} pod"))
}

/// What the container that has ended left for the kubelet to read.
pub(super) fn termination_message(guest: &mut Guest) -> Result<Value> {
    let message = guest.run(&format!("cat {TERMINATION_LOG}"))?;
    serde_json::from_str(&message).with_context(|| format!("the termination message is not JSON: {message:?}"))
}

fn config(guest: &mut Guest, vf: &Vf, args: &[String], grants: &Grants) -> Result<Value> {
    let node = format!("/dev/vfio/{}", vf.group);
    let mut devices = vec![device("/dev/vfio/vfio", (10, 196), 0, 0o666)];
    if let Some(owner) = grants.node_owner {
        let numbers = guest.run(&format!("cat /sys/class/vfio/{}/dev", vf.group))?;
        let (major, minor) = numbers.trim().split_once(':').context("a device without numbers")?;
        devices.push(device(&node, (major.parse()?, minor.parse()?), owner, 0o600));
    }
    let allowed =
        |device: &Value| json!({ "allow": true, "type": "c", "major": device["major"], "minor": device["minor"], "access": "rw" });
    let rules: Vec<Value> = [json!({ "allow": false, "access": "rwm" })].into_iter().chain(devices.iter().map(allowed)).collect();
    let info = json!({ &vf.address: { "generic": { "deviceID": vf.address }, "vfio": { "dev-mount": node, "mount": "/dev/vfio/vfio" } } });
    let words: Vec<&str> = ["/vfwire"].into_iter().chain(args.iter().map(String::as_str)).collect();
    let none: [&str; 0] = [];
    let mut cpu = json!({ "cpus": grants.cpus });
    if let Some(milli) = grants.quota_milli {
        cpu["period"] = CPU_PERIOD_US.into();
        cpu["quota"] = (CPU_PERIOD_US * milli / 1000).into();
    }
    let namespaces = ["pid", "ipc", "uts", "mount", "network", "cgroup"].map(|kind| json!({ "type": kind }));
    Ok(json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": USER, "gid": USER },
            "args": words,
            "env": [
                "PATH=/usr/bin:/bin",
                "HOSTNAME=pod",
                "KUBERNETES_SERVICE_HOST=10.96.0.1",
                format!("{VARIABLE}={}", vf.address),
                format!("{VARIABLE}_INFO={info}"),
            ],
            "cwd": "/",
            "capabilities": { "bounding": none, "effective": none, "inheritable": none, "permitted": none, "ambient": none },
            "rlimits": [{ "type": "RLIMIT_MEMLOCK", "soft": grants.memlock_bytes, "hard": grants.memlock_bytes }],
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "pod",
        "mounts": mounts(),
        "linux": {
            "namespaces": namespaces,
            "cgroupsPath": "/kubepods/pod",
            "devices": devices,
            "resources": {
                "devices": rules,
                "memory": { "limit": MEMORY_BYTES },
                "cpu": cpu,
                "hugepageLimits": [{ "pageSize": "2MB", "limit": grants.hugetlb_bytes }],
            },
            "seccomp": containers::seccomp()?,
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
        },
    }))
}

fn device(path: &str, (major, minor): (u32, u32), owner: u32, mode: u32) -> Value {
    json!({ "path": path, "type": "c", "major": major, "minor": minor, "fileMode": mode, "uid": owner, "gid": owner })
}

fn mounts() -> Value {
    json!([
        { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
        { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
        { "destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
        { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] },
        { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"] },
        { "destination": "/dev/termination-log", "type": "bind", "source": TERMINATION_LOG, "options": ["bind", "rprivate", "rw"] },
    ])
}
