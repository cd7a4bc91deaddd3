//! Which ports a command uses where none is named: what this pod was given.
//!
//! Every subcommand that opens ports asks here, once, before anything is opened. Outside a pod, without a port, nothing is given, and the
//! subcommand does what it does without hardware.

use super::{Failure, doctor};
use std::time::Duration;
use vfwire::{Address, Grant, Host, HugepageChoice};
use vfwire_pod::{Environment, NodeKind, PodError, Root, Source, Vf, await_networks, discover};

/// How long the annotation may take to appear where a network is named.
const ANNOTATION_LIMIT: Duration = Duration::from_secs(5);

/// The options by which a user says which ports are meant.
#[derive(Clone, Default, clap::Args)]
pub(crate) struct Wanted {
    /// PCI address of a VF that is bound to vfio-pci, such as 0000:3b:02.1, or a simulated one, such as sim:igbvf,spoofchk=off; may
    /// be given several times [default: the VFs that this pod was granted]
    #[arg(long = "port", value_name = "ADDRESS")]
    pub(crate) ports: Vec<Address>,
    /// A network of this pod, by its name or its interface, instead of --port: the VF that it was given; may be given
    /// several times
    #[arg(long = "network", value_name = "NAME", conflicts_with = "ports")]
    pub(crate) networks: Vec<String>,
}

/// What the ports are, and what is known of where they run.
pub(super) struct Given {
    /// None: no port was named, and this is no pod.
    pub(super) ports: Vec<Address>,
    /// The real ones among them, in their order.
    pub(super) vfs: Vec<Vf>,
    pub(super) environment: Environment,
}

impl Given {
    /// Finds the ports that are meant, up to `most` of them.
    ///
    /// # Errors
    /// What cannot be read, or is not clear, with the candidates.
    pub(super) fn find(wanted: &Wanted, root: &Root, most: usize) -> Result<Self, Failure> {
        let environment = look(wanted, root);
        let (ports, vfs) = if !wanted.ports.is_empty() {
            (wanted.ports.clone(), wanted.ports.iter().filter_map(|port| named(root, &environment, port)).collect())
        } else if environment.pod.is_none() && wanted.networks.is_empty() {
            (Vec::new(), Vec::new())
        } else {
            let vfs: Vec<Vf> = environment.choose(&wanted.networks, most)?.into_iter().cloned().collect();
            (vfs.iter().map(|vf| Address::Pci(vf.address)).collect(), vfs)
        };
        Ok(Self { ports, vfs, environment })
    }

    /// All that might be meant, whether it is clear which of them is or not: those named, those of the networks named, or all granted.
    pub(super) fn find_all(wanted: &Wanted, root: &Root) -> Self {
        let environment = look(wanted, root);
        let vfs = if wanted.ports.is_empty() {
            let of_networks = environment.choose(&wanted.networks, usize::MAX).map(|vfs| vfs.into_iter().cloned().collect());
            of_networks.unwrap_or_else(|_| environment.vfs.iter().filter(|vf| vf.is_network()).cloned().collect())
        } else {
            wanted.ports.iter().filter_map(|port| named(root, &environment, port)).collect()
        };
        Self { ports: wanted.ports.clone(), vfs, environment }
    }

    /// Gives the host what the grants say beyond addresses.
    pub(super) fn tell(&self, host: &mut Host) {
        self.vfs.iter().for_each(|vf| host.grant(vf.address, grant(vf)));
    }

    /// As [`pages`].
    pub(super) fn pages(&self, need_bytes: u64) -> HugepageChoice {
        pages(&self.environment, need_bytes)
    }

    /// In a pod: the CPUs to poll on, the best first.
    pub(super) fn cpu_order(&self) -> Option<Vec<usize>> {
        let node = self.vfs.first().and_then(|vf| vf.numa_node.as_ref()).map(|node| node.value);
        self.environment.pod.as_ref().map(|_| self.environment.cpus.in_order(node))
    }

    /// What is to be said before ports are opened: where they came from, and what of the CPUs will hurt.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes: Vec<_> = self.vfs.iter().filter_map(|vf| self.note(vf)).collect();
        if self.environment.pod.is_some() && !self.vfs.is_empty() {
            notes.extend(self.environment.annotation.iter().map(|problem| format!("warning: {problem}")));
            notes.extend(doctor::cpu_warnings(&self.environment, &self.vfs));
        }
        notes
    }

    /// Where a VF came from; nothing of one that was named where nobody granted any.
    fn note(&self, vf: &Vf) -> Option<String> {
        let granted: Vec<_> = vf.granted.iter().map(ToString::to_string).collect();
        let named = vf.granted.iter().all(|granted| matches!(granted.source, Source::Option(_)));
        let granted = if named { "named by --port".to_owned() } else { format!("granted as {}", granted.join(", ")) };
        let networks: Vec<_> = vf.networks.iter().map(|network| format!("; network {} ({})", network.name, network.source)).collect();
        let ours = self.environment.vfs.iter().any(|ours| ours.address == vf.address) || self.environment.vfs.is_empty();
        let foreign = if ours { String::new() } else { format!("; it is none of those granted: {}", addresses(&self.environment.vfs)) };
        let says_more = !named || !networks.is_empty() || !ours;
        says_more.then(|| format!("{}: {granted}{}{foreign}", vf.address, networks.concat()))
    }
}

fn look(wanted: &Wanted, root: &Root) -> Environment {
    if !wanted.networks.is_empty() {
        // What cannot be read is among the problems of the environment.
        let _ = await_networks(root, ANNOTATION_LIMIT);
    }
    discover(root)
}

/// The pages to use: 2 MiB, unless this pod was given those of 1 GiB alone.
pub(super) fn pages(environment: &Environment, need_bytes: u64) -> HugepageChoice {
    let choice = environment.hugepages.choice(need_bytes).map(|size| size.bytes);
    if environment.pod.is_some() && choice == Some(1 << 30) { HugepageChoice::Size1G } else { HugepageChoice::Size2M }
}

/// What is known of a real port that the user named.
fn named(root: &Root, environment: &Environment, port: &Address) -> Option<Vf> {
    let Address::Pci(address) = port else { return None };
    let granted = environment.vfs.iter().find(|vf| vf.address == *address).cloned();
    Some(granted.unwrap_or_else(|| Vf::explicit(root, *address, "--port")))
}

pub(super) fn addresses(vfs: &[Vf]) -> String {
    vfs.iter().map(|vf| vf.address.to_string()).collect::<Vec<_>>().join(", ")
}

/// Of the nodes only one that was promised, and only that of a group: VFIO finds the others by itself, and refuses the unsafe ones.
pub(super) fn grant(vf: &Vf) -> Grant {
    let node = vf.nodes.iter().find(|node| node.promised && node.kind == NodeKind::Group).map(|node| node.path.value.clone());
    Grant { node, token: vf.token.as_ref().map(|token| token.value.clone()) }
}

impl From<PodError> for Failure {
    fn from(error: PodError) -> Self {
        match error {
            PodError::Ambiguous { .. } | PodError::NoSuchNetwork { .. } | PodError::NoFunction { .. } => Self::usage(error),
            PodError::NoVf => Self::failed(format!("{error}; `--port sim:igbvf` runs without one")),
            _ => Self::failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn root(fixture: &str) -> Root {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("crates/pod/tests/fixtures").join(fixture);
        let text = std::fs::read_to_string(folder.join("environ")).expect("a fixture has an environment");
        let variables = text.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned()));
        Root::at(folder.join("root"), variables)
    }

    fn wanted(ports: &[&str], networks: &[&str]) -> Wanted {
        let ports = ports.iter().map(|port| port.parse().expect("an address")).collect();
        Wanted { ports, networks: networks.iter().map(|name| (*name).to_owned()).collect() }
    }

    fn ports(given: &Given) -> Vec<String> {
        given.ports.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_pod_needs_no_argument() {
        let given = Given::find(&Wanted::default(), &root("plugin-cgroup2"), 2).expect("a VF");
        assert_eq!(ports(&given), ["0000:3b:02.6"]);
        assert_eq!(given.cpu_order(), Some(vec![7, 6]));
        assert_eq!(given.pages(4 << 20), HugepageChoice::Size2M);
        assert_eq!(grant(&given.vfs[0]), Grant { node: Some("/dev/vfio/169".into()), token: None });
        let notes = given.notes();
        assert!(notes[0].contains("INTEL_COM_VF_VFIO (environment") && notes[0].contains("; network default/vf-net (/etc"), "{notes:?}");
        assert!(notes[1].contains("CPU 15"), "the other thread of CPU 7: {notes:?}");
    }

    #[test]
    fn a_pod_of_large_pages_uses_them_and_its_token() {
        let given = Given::find(&Wanted::default(), &root("plugin-cgroup1"), 2).expect("a VF");
        assert_eq!(given.pages(4 << 20), HugepageChoice::Size1G);
        assert_eq!(grant(&given.vfs[0]).token.as_deref(), Some("3e49019f-412f-4f02-824e-4cd195944205"));
        assert!(
            given.notes().iter().any(|note| note.starts_with("warning: CPUs 0-15 are not this container's own")),
            "{:?}",
            given.notes()
        );
    }

    #[test]
    fn a_network_chooses_and_what_is_unclear_is_wrong_usage() {
        let given = Given::find(&wanted(&[], &["net3", "left"]), &root("two-resources"), 2).expect("two VFs");
        assert_eq!(ports(&given), ["0000:af:02.0", "0000:3b:02.1"]);
        let code = |wanted: &Wanted, fixture| Given::find(wanted, &root(fixture), 2).map(|_| ()).expect_err("no ports").code;
        assert_eq!(code(&Wanted::default(), "two-resources"), 2);
        assert_eq!(code(&wanted(&[], &["right"]), "two-resources"), 2);
        assert_eq!(code(&Wanted::default(), "node-gone"), 1);
    }

    #[test]
    fn only_outside_a_pod_nothing_is_given() {
        let given = Given::find(&Wanted::default(), &root("machine"), 2).expect("no port");
        assert!(given.ports.is_empty() && given.notes().is_empty() && given.cpu_order().is_none());
        let root = Root::at("nowhere", [("KUBERNETES_SERVICE_HOST".to_owned(), "10.96.0.1".to_owned())]);
        let failure = Given::find(&Wanted::default(), &root, 2).map(|_| ()).expect_err("a pod without a VF");
        assert!(failure.code == 1 && failure.text.contains("resources.limits") && failure.text.contains("sim:igbvf"), "{failure:?}");
    }

    #[test]
    fn what_is_named_is_used_and_said_to_be_foreign() {
        let given = Given::find(&wanted(&["0000:3b:02.0", "0000:3b:02.6"], &[]), &root("plugin-cgroup2"), 2).expect("as named");
        assert_eq!(ports(&given), ["0000:3b:02.0", "0000:3b:02.6"]);
        assert_eq!((grant(&given.vfs[0]).node, grant(&given.vfs[1]).node), (None, Some("/dev/vfio/169".into())));
        let notes = given.notes();
        assert!(notes[0].ends_with("; it is none of those granted: 0000:3b:02.6") && !notes[1].contains("none of"), "{notes:?}");
        let simulated = Given::find(&wanted(&["sim:igbvf"], &[]), &root("plugin-cgroup2"), 2).expect("as named");
        assert!(simulated.vfs.is_empty() && simulated.notes().is_empty());
    }
}
