//! Real layouts, as trees of files with an environment: what is found in each, and where it came from.

use std::{net::IpAddr, path::PathBuf, time::Duration};
use vfwire_pod::{
    ANNOTATIONS, CAP_IPC_LOCK, Environment, NodeKind, PodError, Root, Seccomp, Sharing, Source, Vf, await_networks, discover,
    parse_metadata,
};

fn variables(name: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(fixture(name).join("environ")).expect("a fixture has an environment");
    text.lines().map(|line| line.split_once('=').expect("NAME=VALUE")).map(|(name, value)| (name.into(), value.into())).collect()
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn root(name: &str) -> Root {
    Root::at(fixture(name).join("root"), variables(name))
}

fn given(name: &str) -> Environment {
    discover(&root(name))
}

/// A fixture with some variables of another value.
fn with(name: &str, changed: &[(&str, &str)]) -> Environment {
    let mut all = variables(name);
    all.retain(|(name, _)| !changed.iter().any(|(other, _)| name == other));
    all.extend(changed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    discover(&Root::at(fixture(name).join("root"), all))
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn addresses(vfs: &[&Vf]) -> Vec<String> {
    vfs.iter().map(|vf| vf.address.to_string()).collect()
}

/// What is said of a choice that cannot be made.
fn refusal(given: &Environment, networks: &[&str], most: usize) -> String {
    given.choose(&names(networks), most).expect_err("no choice").to_string()
}

fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not said: {text}");
    }
}

#[test]
fn a_guaranteed_pod_with_a_cgroup_namespace() {
    let given = given("plugin-cgroup2");
    assert!(given.problems.is_empty(), "{:?}", given.problems);
    assert_eq!(given.pod, Some(Source::Variable("PCIDEVICE_INTEL_COM_VF_VFIO".into())));
    let vfs = given.choose(&[], 2).expect("one VF");
    let [vf] = vfs[..] else { panic!("{vfs:?}") };
    // Not 0000:3b:02.0, which sysfs shows too.
    assert_eq!(vf.address.to_string(), "0000:3b:02.6");
    assert_eq!(vf.granted[0].to_string(), "INTEL_COM_VF_VFIO (environment variable PCIDEVICE_INTEL_COM_VF_VFIO)");
    assert_eq!(vf.nodes.len(), 1, "dev-mount and the group's node are the same: {:?}", vf.nodes);
    assert_eq!(vf.nodes[0].path.to_string_of(), "/dev/vfio/169 (environment variable PCIDEVICE_INTEL_COM_VF_VFIO_INFO)");
    assert_eq!((vf.nodes[0].kind, vf.nodes[0].promised, vf.nodes[0].owner.is_some()), (NodeKind::Group, true, true));
    assert_eq!(vf.container_node.value, PathBuf::from("/dev/vfio/vfio"));
    assert_eq!(vf.numa_node.as_ref().map(ToString::to_string).as_deref(), Some("1 (/sys/bus/pci/devices/0000:3b:02.6/numa_node)"));
    assert_eq!(vf.token, None);

    let network = &vf.networks[0];
    assert_eq!((network.name.as_str(), network.interface.as_deref()), ("default/vf-net", Some("net1")));
    assert_eq!(network.ips, ["192.168.7.4".parse::<IpAddr>().unwrap(), "fd00::4".parse().unwrap()]);
    assert_eq!((network.mac.as_deref(), network.vlan, network.mtu_bytes), (Some("02:aa:00:00:00:04"), Some(100), Some(9000)));
    assert_eq!(network.source.to_string(), "/etc/podnetinfo/annotations, line 3");
    assert!(given.networks[0].default && given.networks[0].address.is_none());
    for name in ["vf-net", "default/vf-net", "net1"] {
        assert_eq!(addresses(&given.choose(&names(&[name]), 1).expect(name)), ["0000:3b:02.6"]);
    }

    let [small, large] = &given.hugepages.sizes[..] else { panic!("two sizes") };
    assert_eq!((small.resource().as_str(), large.resource().as_str()), ("hugepages-2Mi", "hugepages-1Gi"));
    assert_eq!((small.total.as_ref().map(|total| total.value), small.free.as_ref().map(|free| free.value)), (Some(64), Some(36)));
    let limit = small.limit.as_ref().expect("a limit");
    assert_eq!((limit.value.max_bytes, limit.value.left_bytes()), (16 << 20, 14 << 20));
    assert_eq!(limit.source.to_string(), "/sys/fs/cgroup/hugetlb.2MB.max");
    let asked = small.asked_bytes.as_ref().expect("the Downward API");
    assert_eq!((asked.value, asked.source.to_string().as_str()), (16 << 20, "/etc/podnetinfo/hugepages_2M_limit_forwarder"));
    assert_eq!((small.available_bytes(), large.available_bytes()), (14 << 20, 0));
    assert_eq!(small.mounts[0].source.to_string(), "/proc/self/mounts, line 2");
    assert!(given.hugepages.memfd);
    assert_eq!(given.hugepages.choice(4 << 20).map(|size| size.bytes), Some(2 << 20));
    assert_eq!(given.hugepages.choice(15 << 20), None);

    assert_eq!((given.cpus.usable().to_string().as_str(), given.cpus.sharing()), ("6-7", Sharing::Exclusive));
    assert_eq!(given.cpus.quota.as_ref().map(|quota| quota.value.millicpus()), Some(2000));
    assert_eq!(given.cpus.siblings[&6].to_string(), "14");
    assert_eq!((given.cpus.node_of(6), given.cpus.in_order(Some(1))), (Some(1), vec![7, 6]));

    let process = &given.process;
    assert_eq!(process.user.as_ref().map(|user| user.value), Some(1000));
    assert_eq!(process.seccomp.as_ref().map(|mode| mode.value), Some(Seccomp::Filter));
    assert_eq!(process.no_new_privileges.as_ref().map(|flag| flag.value), Some(true));
    assert!(!process.has(CAP_IPC_LOCK) && !process.user_namespace);
    assert_eq!(process.memlock.limit_bytes.as_ref().map(ToString::to_string).as_deref(), Some("8388608 (/proc/self/limits, line 3)"));
    assert!(process.memlock.allows(8 << 20) && !process.memlock.allows((8 << 20) + 1));
}

/// A path has no `Display` of its own.
trait Shown {
    fn to_string_of(&self) -> String;
}

impl Shown for vfwire_pod::Fact<PathBuf> {
    fn to_string_of(&self) -> String {
        format!("{} ({})", self.value.display(), self.source)
    }
}

#[test]
fn cgroup_version_1_with_hyphens_and_the_readmes_spelling() {
    let given = given("plugin-cgroup1");
    assert!(given.problems.is_empty(), "{:?}", given.problems);
    let vfs = given.choose(&[], 1).expect("one VF");
    assert_eq!(vfs[0].granted[0].source, Source::Variable("PCIDEVICE_OPENSHIFT_IO_VF-VFIO".into()));
    assert_eq!(vfs[0].nodes[0].path.to_string_of(), "/dev/vfio/322 (environment variable PCIDEVICE_OPENSHIFT_IO_VF-VFIO_INFO)");
    assert_eq!(vfs[0].container_node.source, vfs[0].nodes[0].path.source);
    assert_eq!(vfs[0].token.as_ref().map(|token| token.value.as_str()), Some("3e49019f-412f-4f02-824e-4cd195944205"));
    let [small, large] = &given.hugepages.sizes[..] else { panic!("two sizes") };
    assert_eq!(small.limit, None, "version 1 has no word for none");
    assert_eq!(
        large.limit.as_ref().map(|limit| limit.source.to_string()).as_deref(),
        Some("/sys/fs/cgroup/hugetlb/hugetlb.1GB.limit_in_bytes")
    );
    assert_eq!(given.hugepages.choice(4 << 20).map(|size| size.bytes), Some(1 << 30));
    assert_eq!(given.cpus.cpuset.as_ref().map(|cpus| cpus.source.to_string()).as_deref(), Some("/sys/fs/cgroup/cpuset/cpuset.cpus"));
    let quota = given.cpus.quota.as_ref().expect("a quota");
    assert_eq!((quota.value.millicpus(), given.cpus.sharing()), (500, Sharing::Shared));
    assert_eq!(quota.source.to_string(), "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us");
    assert!(!given.process.memlock.allows(4 << 20));
    assert!(given.process.has(10) && !given.process.has(CAP_IPC_LOCK) && !given.process.has(200));
}

#[test]
fn two_resources_are_ambiguous_and_a_network_chooses() {
    let given = given("two-resources");
    assert!(given.problems.is_empty(), "{:?}", given.problems);
    says(
        &refusal(&given, &[], 3),
        &[
            "granted 3 VFs",
            "0000:3b:02.1, network default/left (environment variable PCIDEVICE_INTEL_COM_LEFT)",
            "0000:af:02.0, network default/right (environment variable PCIDEVICE_INTEL_COM_RIGHT)",
            "--network NAME or --port ADDRESS",
        ],
    );
    let chosen = given.choose(&names(&["net3", "left"]), 2).expect("two of three");
    assert_eq!(addresses(&chosen), ["0000:af:02.0", "0000:3b:02.1"], "in the order in which they are named");
    // Each has the node of its own, though the list has another order than `_INFO`.
    assert_eq!(chosen[0].nodes[0].path.value, PathBuf::from("/dev/vfio/8"));
    says(
        &refusal(&given, &["right"], 1),
        &["more than one network", "net2 at 0000:af:02.1", "net3 at 0000:af:02.0", "--network INTERFACE"],
    );
    says(&refusal(&given, &["middle"], 1), &["--network middle", ANNOTATIONS, "default/left, interface net1 at 0000:3b:02.1", "line 3"]);
    says(&refusal(&given, &["macvlan"], 1), &["line 3", "`device-info`", "--port"]);
}

#[test]
fn two_vfs_of_one_resource_are_a_pair_and_too_many_for_one() {
    let given = given("stale-annotation");
    assert_eq!(addresses(&given.choose(&[], 2).expect("a pair")), ["0000:3b:02.2", "0000:3b:02.5"], "whatever the variable's order");
    says(&refusal(&given, &[], 1), &["granted 2 VFs", "up to 1", "0000:3b:02.2 (environment variable PCIDEVICE_INTEL_COM_VF)"]);
}

#[test]
fn a_stale_annotation_is_seen() {
    let text = refusal(&given("stale-annotation"), &["vf-net"], 2);
    says(&text, &["--network vf-net", "/etc/podnetinfo/annotations, line 3", "`0000:3b:02.7`", "0000:3b:02.5 (environment", "stale"]);
}

#[test]
fn a_dra_claim_by_variables_and_by_metadata_is_one_vf() {
    let given = given("dra");
    assert!(given.problems.is_empty(), "{:?}", given.problems);
    let vfs = given.choose(&[], 1).expect("the VF, and not the GPU");
    assert_eq!(addresses(&vfs), ["0000:08:00.2"]);
    let granted: Vec<_> = vfs[0].granted.iter().map(ToString::to_string).collect();
    assert_eq!(
        granted,
        [
            "SR-IOV claim (environment variable SRIOVNETWORK_PCI_ADDRESSES)",
            "SR-IOV claim (environment variable SRIOVNETWORK_VF_DEVICE_0000_08_00_2)",
            "vf/vf (/var/run/kubernetes.io/dra-device-attributes/resourceclaimtemplates/vf/vf/sriovnetwork.k8snetworkplumbingwg.io-metadata.json)",
        ]
    );
    assert_eq!(vfs[0].nodes[0].path.source, Source::Variable("SRIOVNETWORK_0000_08_00_2_VFIO_DEVICE".into()));
    // sysfs says -1, the metadata knows better.
    assert_eq!(vfs[0].numa_node.as_ref().map(|node| node.value), Some(1));
    assert_eq!(given.claimed_network.as_ref().map(|name| name.value.as_str()), Some("vf-net"));
}

#[test]
fn metadata_alone_is_enough() {
    let given = discover(&Root::at(fixture("dra").join("root"), []));
    assert_eq!(addresses(&given.choose(&[], 1).expect("the VF")), ["0000:08:00.2"]);
    assert!(given.pod.is_some_and(|source| source.to_string().contains("dra-device-attributes")));
}

#[test]
fn no_iommu_is_marked_and_what_the_plugin_names_comes_first() {
    let given = given("no-iommu");
    let vf = given.choose(&[], 1).expect("a VF")[0];
    assert_eq!((vf.nodes[0].path.value.as_path(), vf.nodes[0].kind), ("/dev/vfio/0".as_ref(), NodeKind::UnsafeNoIommu));
    assert_eq!(vf.nodes[1].path.value, PathBuf::from("/dev/vfio/noiommu-3"));
    assert_eq!(vf.nodes[1].owner, None);
}

#[test]
fn a_device_of_iommufd_is_found() {
    let given = given("iommufd");
    let vf = given.choose(&[], 1).expect("a VF")[0];
    assert_eq!(vf.container_node.value, PathBuf::from("/dev/iommu"));
    let cdev = vf.nodes.iter().find(|node| node.kind == NodeKind::Cdev).expect("a cdev");
    assert_eq!((cdev.path.value.as_path(), cdev.owner.is_some()), ("/dev/vfio/devices/vfio3".as_ref(), true));
}

#[test]
fn a_machine_is_no_pod_and_its_functions_are_nobodys() {
    let given = given("machine");
    assert_eq!((given.pod.clone(), given.vfs.len(), given.problems.len()), (None, 0, 0));
    assert_eq!(given.choose(&[], 1), Err(PodError::NoVf));
    says(&PodError::NoVf.to_string(), &["PCIDEVICE_*", "resources.limits"]);
    assert_eq!((given.cpus.quota.clone(), given.cpus.sharing()), (None, Sharing::Shared));
    assert!(given.process.memlock.exempt && given.process.memlock.allows(1 << 40));
}

#[test]
fn a_node_that_vanished_is_named() {
    let text = refusal(&given("node-gone"), &[], 1);
    says(&text, &["PCIDEVICE_INTEL_COM_VF_INFO", "`/dev/vfio/322`", "0000:3b:02.6", "expected a character device"]);
}

#[test]
fn limits_of_the_pod_count_where_its_container_has_none() {
    let given = given("pod-limit");
    let limit = given.hugepages.sizes[0].limit.as_ref().expect("the pod's limit");
    assert_eq!(limit.value.left_bytes(), 2 << 20);
    assert!(limit.source.to_string().ends_with("-pod1a.slice/hugetlb.2MB.max"), "{limit:?}");
    assert_eq!(given.cpus.quota.as_ref().map(|quota| quota.value.millicpus()), Some(2500));
    assert_eq!(given.cpus.cpuset.as_ref().map(|cpus| cpus.value.to_string()).as_deref(), Some("0-15"), "an empty set is the parent's");
    // IPC_LOCK counts in the first user namespace only.
    assert!(given.process.has(CAP_IPC_LOCK) && given.process.user_namespace && !given.process.memlock.exempt);
}

#[test]
fn workers_go_to_the_vfs_node_first_and_to_a_core_each() {
    let cpus = given("pod-limit").cpus;
    assert_eq!(cpus.in_order(Some(1))[..8], [15, 14, 13, 12, 7, 6, 5, 4]);
    assert_eq!(cpus.in_order(Some(0))[..4], [11, 10, 9, 8]);
    assert_eq!(cpus.in_order(None)[..3], [15, 14, 13]);
    assert_eq!(cpus.in_order(Some(9)).len(), 16, "a node without CPUs of ours is no obstacle");
}

#[test]
fn what_cannot_be_read_shows_variable_value_and_what_was_expected() {
    const LIST: &str = "PCIDEVICE_INTEL_COM_VF_VFIO";
    const INFO: &str = "PCIDEVICE_INTEL_COM_VF_VFIO_INFO";
    for (name, value, expected) in [
        (LIST, "", "PCI addresses separated by commas"),
        (LIST, "0000:3b:02.6,", "PCI addresses separated by commas"),
        (LIST, "mlx5_core.sf.2", "PCI addresses separated by commas"),
        (INFO, "", "a JSON object such as"),
        (INFO, "{\"0000:3b:02.6\":", "EOF while parsing"),
        (INFO, "[]", "a JSON object such as"),
        (INFO, "{\"eth0\":{}}", "`eth0` is no PCI address"),
        (INFO, "{\"0000:3b:02.6\":7}", "has no object"),
        (INFO, "{\"0000:3b:02.6\":{\"vfio\":{\"dev-mount\":\"../etc/passwd\"}}}", "a device node"),
        (INFO, "{\"0000:3b:02.6\":{\"vfio\":{\"dev-mount\":\"/dev/../etc/passwd\"}}}", "a device node"),
        (INFO, "{\"0000:3b:02.6\":{\"extra\":{\"token\":\"x vf_token=y\"}}}", "which is a UUID"),
        ("SRIOVNETWORK_PCI_ADDRESSES", "eth0", "PCI addresses separated by commas"),
        ("SRIOVNETWORK_0000_08_00_2_VFIO_DEVICE", "vfio", "a device node"),
        ("SRIOVNETWORK_0000_08_VFIO_DEVICE", "/dev/vfio/1", "a PCI address in the name"),
    ] {
        let text = refusal(&with("plugin-cgroup2", &[(name, value)]), &[], 1);
        says(&text, &[&format!("environment variable {name}: `"), "expected", expected]);
        assert!(value.len() > 40 || text.contains(value) || text.contains("passwd") || text.contains("0000_08"), "{text}");
    }
}

#[test]
fn an_address_that_is_not_ours_is_named_with_those_that_are() {
    let text = refusal(&with("plugin-cgroup2", &[("PCIDEVICE_INTEL_COM_VF_VFIO_INFO", "{\"0000:3b:02.7\":{}}")]), &[], 1);
    says(&text, &["_INFO: `0000:3b:02.7` was not granted", "environment variable PCIDEVICE_INTEL_COM_VF_VFIO, which is `0000:3b:02.6`"]);
}

#[test]
fn a_long_value_is_shown_in_part_and_without_control_characters() {
    let value = format!("\u{1b}[2J{}", "é".repeat(5000));
    let text = refusal(&with("plugin-cgroup2", &[("PCIDEVICE_INTEL_COM_VF_VFIO", &value)]), &[], 1);
    assert!(text.contains('…') && text.chars().count() < 400 && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_resource_may_be_called_info() {
    let given = discover(&Root::at("nowhere", [("PCIDEVICE_A_INFO".to_owned(), "0000:3b:02.6".to_owned())]));
    assert_eq!(addresses(&given.choose(&[], 1).expect("a VF")), ["0000:3b:02.6"]);
}

#[test]
fn an_explicit_vf_says_so() {
    let vf = Vf::explicit(&root("plugin-cgroup2"), "0000:3b:02.0".parse().expect("an address"), "--port");
    assert_eq!(vf.granted[0].to_string(), "explicit (--port)");
    assert_eq!((vf.nodes[0].path.value.as_path(), vf.nodes[0].promised), ("/dev/vfio/163".as_ref(), false));
}

#[test]
fn device_metadata_that_cannot_be_read_is_an_error() {
    const HEAD: &str = "{\"apiVersion\":\"metadata.resource.k8s.io/v1alpha1\",\"kind\":\"DeviceMetadata\"";
    let device = |address| {
        format!(
            "{HEAD},\"requests\":[{{\"name\":\"a\",\"devices\":[{{\"attributes\":{{\"dra.net/pciAddress\":{{}},\"resource.kubernetes.io/pciBusID\":{{\"string\":\"{address}\"}}}}}}]}}]}}"
        )
    };
    let good = parse_metadata("/m.json", &device("0000:08:00.2")).expect("a device");
    assert_eq!(good.iter().map(ToString::to_string).collect::<Vec<_>>(), ["0000:08:00.2"]);
    assert_eq!(parse_metadata("/m.json", " \n"), Ok(vec![]), "not written yet");
    for (text, words) in [
        ("{", &["EOF while parsing"][..]),
        ("[]", &["a DeviceMetadata object of metadata.resource.k8s.io/v1alpha1"]),
        ("{\"apiVersion\":\"metadata.resource.k8s.io/v9\",\"kind\":\"DeviceMetadata\"}", &["v1alpha1"]),
        (&format!("{HEAD}}}"), &["`requests`"]),
        (&device("eth0"), &["`requests`"]),
    ] {
        let said = parse_metadata("/m.json", text).expect_err(text).to_string();
        assert!(said.starts_with("/m.json: `"), "{said}");
        says(&said, words);
    }
}

/// A folder of this test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn with_annotations(name: &str, text: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("vfwire-pod-{}-{name}", std::process::id()));
        std::fs::create_dir_all(folder.join("etc/podnetinfo")).expect("a folder");
        let made = Self(folder);
        made.write(text);
        made
    }

    fn write(&self, text: &str) {
        std::fs::write(self.0.join(&ANNOTATIONS[1..]), text).expect("a file");
    }

    fn root(&self) -> Root {
        Root::at(&self.0, [("PCIDEVICE_A_B".to_owned(), "0000:3b:02.6".to_owned())])
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const STATUS: &str = "k8s.v1.cni.cncf.io/network-status=\"[{\\\"name\\\":\\\"a/b\\\"}]\"\n";

#[test]
fn an_annotation_that_cannot_be_read_is_an_error() {
    for (text, expected) in [
        ("k8s.v1.cni.cncf.io/network-status=\"[\n", "double quotes"),
        ("a=\"b\"\nk8s.v1.cni.cncf.io/network-status=\"[{]\"\n", "a JSON list"),
        ("k8s.v1.cni.cncf.io/network-status=\"{}\"\n", "a JSON list"),
        ("k8s.v1.cni.cncf.io/network-status=\"[{}]\"\n", "`name`"),
        (&STATUS.replace("\\\"}", "\\\",\\\"mac\\\":\\\"5\\\"}"), "`mac`"),
        (&STATUS.replace("\\\"}", "\\\",\\\"ips\\\":[\\\"x\\\"]}"), "`ips`"),
        (&STATUS.replace("\\\"}", "\\\",\\\"vlan\\\":4095}"), "`vlan`"),
        (&STATUS.replace("\\\"}", "\\\",\\\"device-info\\\":{\\\"pci\\\":{\\\"pci-address\\\":\\\"eth0\\\"}}}"), "`pci-address`"),
    ] {
        let folder = Folder::with_annotations("malformed", text);
        let said = refusal(&discover(&folder.root()), &[], 1);
        says(&said, &["/etc/podnetinfo/annotations, line", expected]);
    }
}

#[test]
fn an_annotation_that_is_late_is_waited_for_and_no_longer() {
    let folder = Folder::with_annotations("late", "k8s.v1.cni.cncf.io/network-status=\"\"\n");
    let short = Duration::from_millis(1);
    assert_eq!(await_networks(&folder.root(), short).map(|found| found.len()), Ok(0));
    std::thread::scope(|scope| {
        // However long the writer takes to be scheduled: the limit is far away.
        let waits = scope.spawn(|| await_networks(&folder.root(), Duration::from_secs(600)));
        folder.write(STATUS);
        let found = waits.join().expect("no panic").expect("an annotation");
        assert!(found.iter().any(|network| network.is_called("b")), "{found:?}");
    });
    let nowhere = Root::at("nowhere", []);
    assert_eq!(await_networks(&nowhere, Duration::from_secs(600)).map(|found| found.len()), Ok(0), "nothing to wait for");
}
