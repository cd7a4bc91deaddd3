//! The checks on layouts of real pods, those of crates/pod, as far as they open nothing.

use super::*;
use report::Verdict;
use std::{collections::BTreeSet, path::PathBuf};

fn root(fixture: &str, changed: &[(&str, &str)]) -> Root {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("crates/pod/tests/fixtures").join(fixture);
    let text = std::fs::read_to_string(folder.join("environ")).expect("a fixture has an environment");
    let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let variables = text.lines().filter_map(|line| line.split_once('=')).map(pair);
    Root::at(folder.join("root"), variables.chain(changed.iter().copied().map(pair)).collect::<Vec<_>>())
}

/// What some families find in a layout.
fn found(fixture: &str, changed: &[(&str, &str)], wanted: &Wanted, families: &[Family]) -> Vec<Check> {
    let (environment, subjects) = subjects(wanted, &root(fixture, changed)).expect("VFs");
    let need = need(&environment, subjects.len()).expect("the defaults");
    let context = Context { wanted, environment: &environment, subjects: &subjects, need };
    examine(&context, families)
}

fn of_environment(fixture: &str) -> Vec<Check> {
    found(fixture, &[], &Wanted::default(), &[pod::checks, process::checks, cpu::checks])
}

fn check<'a>(checks: &'a [Check], id: &str) -> &'a Check {
    checks.iter().find(|check| check.id == id).unwrap_or_else(|| panic!("no {id}: {checks:?}"))
}

fn is(checks: &[Check], id: &str, verdict: Verdict, words: &[&str]) {
    let check = check(checks, id);
    assert_eq!(check.verdict, verdict, "{check:?}");
    let said = format!("{} {}", check.found, check.remedy.as_deref().unwrap_or_default());
    words.iter().for_each(|word| assert!(said.contains(word), "{id} does not say {word:?}: {said}"));
    assert_eq!(check.remedy.is_some(), [Verdict::Warning, Verdict::Failure].contains(&verdict), "{check:?}");
}

fn network(name: &str) -> Wanted {
    Wanted { networks: vec![name.to_owned()], ..Wanted::default() }
}

#[test]
fn a_pod_as_it_should_be_is_ok() {
    let checks = of_environment("plugin-cgroup2");
    is(&checks, "pod.container", Verdict::Ok, &["PCIDEVICE_INTEL_COM_VF_VFIO"]);
    is(&checks, "pod.vf", Verdict::Ok, &["0000:3b:02.6 (INTEL_COM_VF_VFIO (environment variable"]);
    is(&checks, "pod.network", Verdict::Ok, &["default/vf-net at 0000:3b:02.6 [192.168.7.4, fd00::4]"]);
    is(&checks, "process.user", Verdict::Ok, &["user 1000, 0 capabilities, no new privileges"]);
    is(&checks, "process.seccomp", Verdict::Ok, &["filtered"]);
    is(&checks, "cpu.count", Verdict::Ok, &["2 CPUs: 6-7"]);
    is(&checks, "cpu.exclusive", Verdict::Ok, &["own"]);
    is(&checks, "cpu.quota", Verdict::Ok, &["2 CPUs' time (/sys/fs/cgroup/cpu.max)"]);
    is(&checks, "cpu.numa", Verdict::Ok, &["CPUs 6-7 are on NUMA node 1"]);
    // CPU 15 is CPU 7's other thread, and not of this container.
    is(&checks, "cpu.threads", Verdict::Warning, &["CPU 7", "CPU 15", "full-pcpus-only"]);
}

#[test]
fn a_burstable_pod_is_warned_of_its_cpus() {
    let checks = of_environment("plugin-cgroup1");
    is(&checks, "cpu.exclusive", Verdict::Warning, &["0-15", "cpuManagerPolicy: static", "limits: {cpu: \"2\""]);
    is(&checks, "cpu.quota", Verdict::Warning, &["0.5 CPUs' time (/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us)", "100 ms"]);
    is(&checks, "process.seccomp", Verdict::Warning, &["RuntimeDefault"]);
    is(&checks, "pod.network", Verdict::Skipped, &["/etc/podnetinfo/annotations"]);
}

#[test]
fn one_cpu_is_warned_of_and_another_node_too() {
    let (environment, subjects) = subjects(&Wanted::default(), &root("plugin-cgroup2", &[])).expect("VFs");
    let mut one = environment.clone();
    one.cpus.allowed.as_mut().expect("CPUs").value = "0".parse().expect("a CPU");
    one.cpus.cpuset = None;
    let checks = cpu::of(&one, &[subjects[0].clone()]);
    is(&checks, "cpu.count", Verdict::Warning, &["CPU 0 alone", "cpu: \"2\""]);
    is(&checks, "cpu.numa", Verdict::Warning, &["NUMA node 1", "single-numa-node"]);
    let warnings = cpu_warnings(&one, &[subjects[0].clone()]);
    assert!(warnings.iter().any(|line| line.starts_with("warning: CPU 0 alone: ") && line.contains("two CPUs")), "{warnings:?}");
    assert!(warnings.iter().any(|line| line.starts_with("warning: 0000:3b:02.6: the VF is on NUMA node 1")), "{warnings:?}");
}

#[test]
fn what_was_granted_and_cannot_be_used_is_a_failure() {
    let of = |fixture, changed: &[(&str, &str)], wanted: &Wanted| found(fixture, changed, wanted, &[pod::checks]);
    let any = Wanted::default();
    is(&of("node-gone", &[], &any), "pod.vf", Verdict::Failure, &["/dev/vfio/322", "hugepages.sh bind 0000:3b:02.6"]);
    let malformed = [("PCIDEVICE_INTEL_COM_VF_VFIO_INFO", "{")];
    is(&of("plugin-cgroup2", &malformed, &any), "pod.vf", Verdict::Failure, &["PCIDEVICE_INTEL_COM_VF_VFIO_INFO: `{`", "env"]);
    let none = [("KUBERNETES_SERVICE_HOST", "10.96.0.1")];
    is(&of("machine", &none, &any), "pod.vf", Verdict::Failure, &["no VF was granted", "limits: {intel.com/vf_vfio: \"1\"}"]);
    is(&of("machine", &[], &any), "pod.vf", Verdict::Skipped, &["--port"]);
    is(&of("two-resources", &[], &any), "pod.vf", Verdict::Warning, &["0000:3b:02.1, network default/left", "--network NAME"]);
    let named = |port: &str| Wanted { ports: vec![port.parse().expect("an address")], ..Wanted::default() };
    is(&of("plugin-cgroup2", &[], &named("0000:3b:02.0")), "pod.vf", Verdict::Warning, &["--port 0000:3b:02.0 is none", "0000:3b:02.6"]);
    is(&of("plugin-cgroup2", &[], &named("0000:3b:02.6")), "pod.vf", Verdict::Ok, &["named: 0000:3b:02.6"]);
    is(&of("two-resources", &[], &network("left")), "pod.vf", Verdict::Ok, &["0000:3b:02.1"]);
    is(&of("accelerator", &[], &any), "pod.vf", Verdict::Ok, &["0000:3b:02.6"]);
    is(&of("accelerator", &[], &any), "pod.network", Verdict::Warning, &["/etc/podnetinfo/annotations, line 1", "Multus"]);
    is(&of("accelerator", &[], &network("x")), "pod.network", Verdict::Failure, &["/etc/podnetinfo/annotations, line 1", "--port"]);
    is(&of("two-resources", &[], &network("up")), "pod.network", Verdict::Failure, &["--network up", "default/left", "annotations:"]);
    is(&of("stale-annotation", &[], &network("vf-net")), "pod.network", Verdict::Failure, &["stale", "delete the pod"]);
    is(
        &of("stale-annotation", &[], &any),
        "pod.network",
        Verdict::Warning,
        &["default/vf-net at 0000:3b:02.7", "0000:3b:02.2, 0000:3b:02.5"],
    );
}

#[test]
fn memory_is_held_against_the_need() {
    let of = |fixture| found(fixture, &[], &Wanted::default(), &[memory::checks]);
    let enough = of("plugin-cgroup2");
    is(&enough, "memory.limit", Verdict::Ok, &["14 MiB are left (/sys/fs/cgroup/hugetlb.2MB.max)", "hugepages_2M_limit_forwarder"]);
    is(&enough, "memory.memlock", Verdict::Ok, &["up to 8 MiB of locked memory"]);
    assert_eq!(check(&enough, "memory.memlock").needed.as_deref(), Some("4 MiB of locked memory"), "fits the usual limit of 8 MiB");
    let little = of("pod-limit");
    is(
        &little,
        "memory.limit",
        Verdict::Failure,
        &["2 MiB of 4 MiB are left", "-pod1a.slice/hugetlb.2MB.max", "limits: {hugepages-2Mi: 4Mi}"],
    );
    let locked = of("plugin-cgroup1");
    is(&locked, "memory.memlock", Verdict::Failure, &["up to 64 KiB", "add: [IPC_LOCK]", "LimitMEMLOCK="]);
    assert_eq!(check(&locked, "memory.hugepages").needed.as_deref(), Some("1 of 1024 MiB (1024 MiB)"), "there are no small ones");
    is(&of("machine"), "memory.memlock", Verdict::Skipped, &["no limit on locked memory, by CAP_IPC_LOCK"]);
}

#[test]
fn no_iommu_is_refused_whatever_its_node() {
    let checks = found("no-iommu", &[], &Wanted::default(), &[vfio::checks]);
    is(&checks, "vfio.node", Verdict::Failure, &["/dev/vfio/0", "unsafe", "intel_iommu=on"]);
    let checks = found("iommufd", &[], &Wanted::default(), &[vfio::checks]);
    is(&checks, "vfio.container", Verdict::Failure, &["/dev/iommu", "groups"]);
}

#[test]
fn what_follows_a_failure_is_skipped_with_its_reason() {
    let checks = found("no-iommu", &[], &Wanted::default(), &[vfio::checks]);
    let (environment, subjects) = subjects(&Wanted::default(), &root("no-iommu", &[])).expect("VFs");
    let (wanted, need) = (Wanted::default(), need(&environment, 1).expect("the defaults"));
    let context = Context { wanted: &wanted, environment: &environment, subjects: &subjects, need };
    let after = device::checks(&context, &checks);
    for check in &after {
        assert_eq!(check.verdict, Verdict::Skipped, "{check:?}");
        assert!(check.found.starts_with("see vfio."), "{check:?}");
    }
}

/// Every check gives a line in every run with a VF, so one run has them all. One without an IOMMU is never opened.
#[test]
fn the_documentation_has_every_check_and_no_other() {
    let checks = found("no-iommu", &[], &Wanted::default(), FAMILIES);
    let made: BTreeSet<_> = checks.iter().map(|check| check.id).collect();
    let page = include_str!("../../../docs/doctor.md");
    let row = |line: &'static str| Some(line.strip_prefix("| `")?.split_once('`')?.0).filter(|id| id.contains('.') && !id.contains('['));
    let documented: BTreeSet<_> = page.lines().filter_map(row).collect();
    assert_eq!(made, documented);
}

#[test]
fn the_worst_verdict_is_the_reports() {
    let report = |checks: &[Check]| serde_json::to_value(Report::new(None, checks.to_vec())).expect("JSON");
    let (ok, warning) = (Check::ok("a.b", "x"), Check::warning("a.c", "x", "y").of("z").needs("w"));
    assert_eq!(report(&[ok.clone(), Check::skipped("a.d", "why")])["verdict"], "ok");
    assert_eq!(report(&[ok.clone(), warning.clone()])["verdict"], "warning");
    let failed = report(&[warning, Check::failed_with("a.e", "this: do that"), ok]);
    assert_eq!(failed["verdict"], "failure");
    let entry = |at: usize| failed["checks"][at].clone();
    let want = serde_json::json!({"id": "a.c", "subject": "z", "verdict": "warning", "found": "x", "needed": "w", "remedy": "y"});
    assert_eq!(entry(0), want);
    assert_eq!((&entry(1)["found"], &entry(1)["remedy"]), (&"this".into(), &"do that".into()));
    assert_eq!((&failed["schema"], &failed["pod"]), (&1.into(), &serde_json::Value::Null));
}
