//! What is wrong with what a container was given. Each error shows the variable or file, the value, and what was expected.

use crate::{PciAddress, Source};
use std::path::PathBuf;

/// Something that was given to the container cannot be used, or is not clear.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PodError {
    /// A value that cannot be read.
    #[error("{source_of}: `{value}` is not understood: expected {expected}")]
    Malformed {
        /// Where it stands.
        source_of: Source,
        /// The value, or the start of it.
        value: String,
        /// What it should have been.
        expected: String,
    },
    /// `_INFO` describes a function that its resource does not have.
    #[error("{source_of}: `{address}` was not granted: expected addresses of {list}, which is `{granted}`")]
    NotGranted {
        /// Where it stands.
        source_of: Source,
        /// The address.
        address: PciAddress,
        /// Where the addresses that were granted stand.
        list: Source,
        /// Those addresses.
        granted: String,
    },
    /// A node that was promised is not there.
    #[error(
        "{source_of}: `{node}`, the VFIO node of {address}, does not exist in this container: expected a character device; delete the pod so \
         that it is granted a VF again, and see whether the VF was unbound from vfio-pci on the host"
    )]
    NodeGone {
        /// Where the node is named.
        source_of: Source,
        /// The node.
        node: PathBuf,
        /// Whose it is.
        address: PciAddress,
    },
    /// Nothing was granted.
    #[error(
        "this container was granted no VF: no environment variable PCIDEVICE_* or SRIOVNETWORK_*, no DRA device metadata; ask for one in the \
         pod's spec, such as `resources.limits: {{intel.com/vf_vfio: \"1\"}}`"
    )]
    NoVf,
    /// Something else was granted.
    #[error(
        "{granted} grants {address} alone, which is no network function: {source_of} is `{class:#08x}`, expected `0x02....`; ask for a VF as well"
    )]
    NoNetworkFunction {
        /// What was granted.
        address: PciAddress,
        /// By whom.
        granted: Source,
        /// Where its class stands.
        source_of: Source,
        /// Its class code, 24 bits.
        class: u32,
    },
    /// More than one answer.
    #[error("{what}: {}; choose with {choose}", candidates.join("; "))]
    Ambiguous {
        /// What has more than one answer.
        what: String,
        /// The answers, each with where it came from.
        candidates: Vec<String>,
        /// The option that chooses.
        choose: String,
    },
    /// A network that the pod does not have.
    #[error("--network {name}: expected one of this pod's networks ({looked_in}): {}", or_none(known))]
    NoSuchNetwork {
        /// What was asked for.
        name: String,
        /// Where networks are known from.
        looked_in: String,
        /// The networks that there are.
        known: Vec<String>,
    },
    /// A network without a function.
    #[error(
        "--network {name}: {source_of} says nothing of its PCI address: expected `device-info` with `pci-address`, which Multus 4 writes for a \
         network whose resource comes from the SR-IOV device plugin; name the VF with --port"
    )]
    NoFunction {
        /// The network.
        name: String,
        /// Where it stands.
        source_of: Source,
    },
    /// A network whose function is not this container's.
    #[error(
        "--network {name}: {source_of} puts it at `{address}`, but this container was granted {granted}: expected one of these; the annotation \
         is stale or of another container's resource"
    )]
    Stale {
        /// The network.
        name: String,
        /// Where it stands.
        source_of: Source,
        /// Where it is said to be.
        address: PciAddress,
        /// What was granted.
        granted: String,
    },
}

fn or_none(known: &[String]) -> String {
    if known.is_empty() { "there is none".into() } else { known.join("; ") }
}

/// Characters of a value that an error shows.
const SHOWN_CHARACTERS: usize = 160;

impl PodError {
    pub(crate) fn malformed(source_of: Source, value: &str, expected: impl Into<String>) -> Self {
        let mut shown: String = value.chars().take(SHOWN_CHARACTERS).flat_map(char::escape_debug).collect();
        shown = shown.replace("\\\"", "\"");
        if value.chars().nth(SHOWN_CHARACTERS).is_some() {
            shown.push('…');
        }
        Self::Malformed { source_of, value: shown, expected: expected.into() }
    }
}
