//! What the DRA driver for SR-IOV says: in the environment, and in device metadata files.
//!
//! The metadata files are Kubernetes' own protocol (KEP-5304): a stream of JSON objects that say the same, one for each version of the API;
//! the first one that can be read counts. An empty file is one that its driver has not written yet.

use crate::{
    Fact, PciAddress, PodError, Root, Source,
    plugin::{addresses, node},
    vfs::Grant,
};
use serde_json::{Deserializer, Map, Value};
use std::path::PathBuf;

const PREFIX: &str = "SRIOVNETWORK_";
const METADATA: &str = "/var/run/kubernetes.io/dra-device-attributes";
const API: &str = "metadata.resource.k8s.io/v1alpha1";
/// Drivers whose devices are network functions. What another one writes, in whatever shape, is no business of ours.
const NETWORK_DRIVERS: [&str; 2] = ["sriovnetwork.k8snetworkplumbingwg.io", "dra.net"];
/// Attributes that say that a device is a network function. A claim may be for a GPU, which has a PCI address too.
const NETWORK_ATTRIBUTES: [&str; 2] = ["sriovnetwork.k8snetworkplumbingwg.io/", "dra.net/"];
const ADDRESS_ATTRIBUTES: [&str; 2] = ["resource.kubernetes.io/pciBusID", "sriovnetwork.k8snetworkplumbingwg.io/pciAddress"];
const NUMA_ATTRIBUTES: [&str; 2] = ["resource.kubernetes.io/numaNode", "dra.net/numaNode"];

/// Whether the driver gave this container anything.
pub(crate) fn mark(root: &Root) -> Option<Source> {
    let variable = root.variables_from(PREFIX).next().map(|(name, _, _)| Source::variable(name));
    variable.or_else(|| root.exists(METADATA).then(|| Source::file(METADATA)))
}

/// Every function, and what cannot be read.
pub(crate) fn grants(root: &Root, problems: &mut Vec<PodError>) -> Vec<Grant> {
    let mut grants = variables(root, problems);
    for path in metadata_files(root) {
        let Some(text) = root.read(&path) else { continue };
        match metadata(&Source::file(&path), &text) {
            Ok(found) => grants.extend(found),
            Err(problem) if NETWORK_DRIVERS.iter().any(|driver| path.ends_with(&format!("/{driver}-metadata.json"))) => {
                problems.push(problem)
            }
            Err(_) => {}
        }
    }
    grants
}

fn variables(root: &Root, problems: &mut Vec<PodError>) -> Vec<Grant> {
    let mut grants: Vec<Grant> = Vec::new();
    let mut nodes: Vec<(PciAddress, Fact<PathBuf>)> = Vec::new();
    for (name, rest, value) in root.variables_from(PREFIX) {
        let source = Source::variable(name);
        if rest == "PCI_ADDRESSES" || rest.starts_with("VF_DEVICE_") {
            match addresses(source.clone(), value) {
                Ok(found) => grants.extend(found.into_iter().map(|address| Grant::new(address, "SR-IOV claim", source.clone()))),
                Err(problem) => problems.push(problem),
            }
        } else if let Some(device) = rest.strip_suffix("_VFIO_DEVICE") {
            match (address_in_name(device), node(&source, value)) {
                (Some(address), Ok(node)) => nodes.push((address, Fact::new(node, source))),
                (None, _) => problems.push(PodError::malformed(source, device, "a PCI address in the name, such as 0000_08_00_2")),
                (_, Err(problem)) => problems.push(problem),
            }
        }
    }
    for (address, node) in nodes {
        if !grants.iter().any(|grant| grant.address == address) {
            grants.push(Grant::new(address, "SR-IOV claim", node.source.clone()));
        }
        grants.iter_mut().filter(|grant| grant.address == address).for_each(|grant| grant.node = Some(node.clone()));
    }
    grants
}

/// `0000_08_00_2`.
fn address_in_name(text: &str) -> Option<PciAddress> {
    let (rest, function) = text.rsplit_once('_')?;
    PciAddress::full(&format!("{}.{function}", rest.replace('_', ":")))
}

/// The network attachment definition that the claim names.
pub(crate) fn network_name(root: &Root) -> Option<Fact<String>> {
    let name = format!("{PREFIX}NET_ATTACH_DEF_NAME");
    let value = root.variable(&name).filter(|value| !value.is_empty())?.to_owned();
    Some(Fact::new(value, Source::Variable(name)))
}

fn metadata_files(root: &Root) -> Vec<String> {
    let mut files = Vec::new();
    for kind in ["resourceclaims", "resourceclaimtemplates"].map(|kind| format!("{METADATA}/{kind}")) {
        for claim in root.names(&kind) {
            for request in root.names(format!("{kind}/{claim}")) {
                let folder = format!("{kind}/{claim}/{request}");
                let names = root.names(&folder).into_iter().filter(|name| name.ends_with("-metadata.json"));
                files.extend(names.map(|name| format!("{folder}/{name}")));
            }
        }
    }
    files
}

/// The network functions of a device metadata file (KEP-5304) that is shown at `path`.
///
/// # Errors
/// [`PodError::Malformed`].
pub fn parse_metadata(path: impl Into<PathBuf>, text: &str) -> Result<Vec<PciAddress>, PodError> {
    Ok(metadata(&Source::file(path), text)?.iter().map(|grant| grant.address).collect())
}

/// The network functions of a metadata file.
///
/// # Errors
/// Where none of its objects can be read.
fn metadata(source: &Source, text: &str) -> Result<Vec<Grant>, PodError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let malformed = |why: &str| PodError::malformed(source.clone(), text, format!("a DeviceMetadata object of {API}{why}"));
    for object in Deserializer::from_str(text).into_iter::<Value>() {
        let object = object.map_err(|error| malformed(&format!(" ({error})")))?;
        if object["apiVersion"] == API && object["kind"] == "DeviceMetadata" {
            return read(source, &object).ok_or_else(|| malformed(" with `requests`, each with `devices`"));
        }
    }
    Err(malformed(""))
}

fn read(source: &Source, object: &Value) -> Option<Vec<Grant>> {
    let claim = object["podClaimName"].as_str().or_else(|| object["metadata"]["name"].as_str()).unwrap_or("claim");
    let mut grants = Vec::new();
    for request in object["requests"].as_array()? {
        let resource = format!("{claim}/{}", request["name"].as_str()?);
        for device in request["devices"].as_array()? {
            let none = Map::new();
            let attributes = device["attributes"].as_object().unwrap_or(&none);
            if attributes.keys().any(|name| NETWORK_ATTRIBUTES.iter().any(|prefix| name.starts_with(prefix))) {
                let text = ADDRESS_ATTRIBUTES.iter().find_map(|name| attributes.get(*name)?["string"].as_str());
                // A network device without an address is none of PCI's.
                let Some(text) = text else { continue };
                let mut grant = Grant::new(PciAddress::full(text)?, &resource, source.clone());
                let numa = NUMA_ATTRIBUTES.iter().find_map(|name| attributes.get(*name)?["int"].as_u64());
                grant.numa_node = numa.and_then(|node| u32::try_from(node).ok()).map(|node| Fact::new(node, source.clone()));
                grants.push(grant);
            }
        }
    }
    Some(grants)
}
