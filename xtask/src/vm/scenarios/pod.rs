//! Containers as a pod has them: the image of this checkout, run by crun and by runc as uid 1000, without a capability, with nothing but
//! what the device plugin grants, and with the very arguments of deploy/kubernetes.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::traffic::{VF_A, swapped};
use crate::host;
use crate::vm::bundle::{self, Grants};
use crate::vm::forwarder::{self, Forwarder};
use crate::vm::guest::Ended;
use crate::vm::lab::Lab;
use crate::vm::wire::exchange;

const FRAMES: u32 = 2000;
/// Of the node, as the baseline reserves them.
const HUGEPAGES: u32 = 128;
/// Starting a container takes the emulation 1 to 3 s, and doctor opens and starts the port.
const DOCTOR_LIMIT: Duration = Duration::from_secs(40);
/// A refusal: nothing of a port is started, or what was is taken back.
const REFUSAL_LIMIT: Duration = Duration::from_secs(40);
/// Where the benchmark's arguments are.
const WORKLOAD: &str = "deploy/kubernetes/base/benchmark/benchmark.yaml";

pub(super) fn crun(lab: &mut Lab) -> Result<()> {
    everything_granted(lab, "crun")
}

pub(super) fn runc(lab: &mut Lab) -> Result<()> {
    everything_granted(lab, "runc")
}

pub(super) fn crun_grants(lab: &mut Lab) -> Result<()> {
    each_grant(lab, "crun")
}

pub(super) fn runc_grants(lab: &mut Lab) -> Result<()> {
    each_grant(lab, "runc")
}

/// What the containers of the workload run: doctor, then the command.
fn arguments() -> Result<[Vec<String>; 2]> {
    let text = fs::read_to_string(host::root().join(WORKLOAD))?;
    let lists = text.lines().filter_map(|line| line.trim().strip_prefix("args: "));
    let mut lists = lists.map(serde_json::from_str::<Vec<String>>).collect::<Result<Vec<_>, _>>().context(WORKLOAD)?;
    // For programs: people read the same checks.
    lists.first_mut().with_context(|| format!("{WORKLOAD} has no args"))?.push("--json".to_owned());
    lists.try_into().ok().with_context(|| format!("{WORKLOAD} does not have two containers"))
}

fn prepare(lab: &mut Lab) -> Result<()> {
    bundle::prepare(&mut lab.guest)?;
    let vf = lab.pfs[0][0].clone();
    lab.guest.run(&format!("ip link set {} vf {} mac {}", vf.pf, vf.index, forwarder::text(VF_A))).map(drop)
}

/// Runs the container to its end.
fn run(lab: &mut Lab, runtime: &str, args: &[String], grants: &Grants, limit: Duration) -> Result<Ended> {
    let vf = lab.pfs[0][0].clone();
    let command = bundle::write(&mut lab.guest, runtime, &vf, args, grants)?;
    lab.guest.start(&command)?.wait(&mut lab.guest, limit)
}

/// The forwarder of a workload whose grants suffice: every frame comes back.
fn forwards(lab: &mut Lab, runtime: &str, args: &[String], grants: &Grants) -> Result<()> {
    let vf = lab.pfs[0][0].clone();
    let command = bundle::write(&mut lab.guest, runtime, &vf, args, grants)?;
    let forwarder = Forwarder::start(&mut lab.guest, &command)?;
    confined(lab)?;
    let stream = swapped(lab, FRAMES);
    exchange(&stream, 32, &lab.wires[0], &lab.wires[0])?;
    let (summary, said) = forwarder.stop_and_hear(&mut lab.guest)?;
    summary.expect_frames(0, FRAMES.into(), FRAMES.into()).context(said)?;
    let message = bundle::termination_message(&mut lab.guest)?;
    let counted = &message["summary"]["ports"][0]["rx_frames"];
    ensure!(message["verdict"] == "ok" && message["exit_code"] == 0 && *counted == FRAMES, "the termination message is {message}");
    Ok(())
}

/// What the kernel says of the process: the grants are not wider than they should be.
fn confined(lab: &mut Lab) -> Result<()> {
    let status = lab.guest.run("cat /proc/$(pidof vfwire | cut -d' ' -f1)/status")?;
    let nothing = "0000000000000000";
    for (field, wanted) in [
        ("Uid", "1000\t1000\t1000\t1000"),
        ("Gid", "1000\t1000\t1000\t1000"),
        ("CapPrm", nothing),
        ("CapEff", nothing),
        ("CapBnd", nothing),
        ("CapAmb", nothing),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t"));
        ensure!(value == Some(wanted), "{field} of the container's process is {value:?}, not {wanted:?}");
    }
    Ok(())
}

fn everything_granted(lab: &mut Lab, runtime: &str) -> Result<()> {
    prepare(lab)?;
    let [doctor, forward] = arguments()?;
    let grants = Grants::default();
    let report = Report::of(&run(lab, runtime, &doctor, &grants, DOCTOR_LIMIT)?)?;
    ensure!(report.code == 0 && report.with("failure").is_empty(), "doctor fails with everything granted: {}", report.text);
    for id in ["pod.vf", "vfio.node", "vfio.open", "memory.memlock", "memory.limit", "memory.map", "port.mac", "port.start"] {
        ensure!(report.with("ok").contains(id), "{id} is not well with everything granted: {}", report.text);
    }
    forwards(lab, runtime, &forward, &grants)
}

/// One thing that a container lacks.
struct Lack {
    what: &'static str,
    /// Hugepages of the node.
    hugepages: u32,
    grants: Grants,
    /// All checks that fail.
    failures: &'static [&'static str],
    /// A check that warns.
    warning: Option<&'static str>,
    /// What the forwarder's error must say, where it does not run.
    refusal: &'static [&'static str],
}

fn lacks() -> Vec<Lack> {
    let full = Grants::default;
    let refused = |what, grants, failures, refusal| Lack { what, hugepages: HUGEPAGES, grants, failures, warning: None, refusal };
    let warned = |what, grants, check| Lack { warning: Some(check), ..refused(what, grants, &[], &[]) };
    vec![
        refused("no node of the group", Grants { node_owner: None, ..full() }, &["pod.vf", "vfio.node"], &["/dev/vfio/", "does not exist"]),
        refused("a node that root owns", Grants { node_owner: Some(0), ..full() }, &["vfio.node"], &["/dev/vfio/", "permission"]),
        refused(
            "64 KiB of locked memory",
            Grants { memlock_bytes: 64 << 10, ..full() },
            &["memory.map", "memory.memlock"],
            &["locked memory", "IPC_LOCK"],
        ),
        refused("one hugepage", Grants { hugetlb_bytes: 2 << 20, ..full() }, &["memory.limit"], &["hugepages-2Mi: 4Mi"]),
        Lack {
            hugepages: 0,
            ..refused(
                "no hugepages on the node",
                full(),
                &["memory.hugepages", "memory.map"],
                &["hugepages.sh reserve 2", "hugepages-2Mi: 4Mi"],
            )
        },
        warned("one CPU", Grants { cpus: "1", ..full() }, "cpu.count"),
        warned("half of a CPU's time", Grants { quota_milli: Some(500), ..full() }, "cpu.quota"),
    ]
}

fn each_grant(lab: &mut Lab, runtime: &str) -> Result<()> {
    prepare(lab)?;
    for lack in lacks() {
        lab.guest.run(&format!("echo {} > /proc/sys/vm/nr_hugepages", lack.hugepages))?;
        lacking(lab, runtime, &lack).with_context(|| lack.what)?;
    }
    Ok(())
}

fn lacking(lab: &mut Lab, runtime: &str, lack: &Lack) -> Result<()> {
    let [doctor, forward] = arguments()?;
    let report = Report::of(&run(lab, runtime, &doctor, &lack.grants, DOCTOR_LIMIT)?)?;
    ensure!(report.with("failure") == BTreeSet::from_iter(lack.failures.iter().copied()), "other checks fail: {}", report.text);
    ensure!(report.code == i32::from(!lack.failures.is_empty()), "doctor ended with {}: {}", report.code, report.text);
    ensure!(lack.warning.is_none_or(|id| report.with("warning").contains(id)), "no warning: {}", report.text);
    report.remedies()?;
    if lack.refusal.is_empty() {
        return forwards(lab, runtime, &forward, &lack.grants);
    }
    let ended = run(lab, runtime, &forward, &lack.grants, REFUSAL_LIMIT)?;
    ensure!(ended.code == 1, "the forwarder ended with {}: {}", ended.code, ended.stderr);
    let message = bundle::termination_message(&mut lab.guest)?;
    ensure!(message["verdict"] == "failed" && message["exit_code"] == 1, "the termination message is {message}");
    let error = message["error"].as_str().unwrap_or_default();
    for words in lack.refusal {
        ensure!(ended.stderr.contains(words) && error.contains(words), "the error does not say {words:?}: {}{message}", ended.stderr);
    }
    Ok(())
}

/// What doctor printed.
struct Report {
    code: i32,
    text: String,
    checks: Vec<Value>,
}

impl Report {
    fn of(ended: &Ended) -> Result<Self> {
        let text = format!("{}{}", ended.stdout, ended.stderr);
        let report: Value = serde_json::from_str(ended.stdout.trim()).with_context(|| format!("doctor printed no JSON: {text}"))?;
        let checks = report["checks"].as_array().with_context(|| format!("doctor lists no checks: {text}"))?.clone();
        Ok(Self { code: ended.code, text, checks })
    }

    /// The checks with this verdict.
    fn with(&self, verdict: &str) -> BTreeSet<&str> {
        self.checks.iter().filter(|check| check["verdict"] == verdict).filter_map(|check| check["id"].as_str()).collect()
    }

    /// An error unless everything that is not well comes with what to do.
    fn remedies(&self) -> Result<()> {
        let not_well = self.checks.iter().filter(|check| check["verdict"] == "failure" || check["verdict"] == "warning");
        let bad: Vec<_> = not_well.filter(|check| check["remedy"].as_str().is_none_or(str::is_empty)).collect();
        ensure!(bad.is_empty(), "no remedy for {bad:?}");
        Ok(())
    }
}
