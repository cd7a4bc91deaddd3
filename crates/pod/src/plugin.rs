//! What the SR-IOV network device plugin says in the environment.
//!
//! `PCIDEVICE_<PREFIX>_<NAME>` is a list of addresses in no particular order, `PCIDEVICE_<PREFIX>_<NAME>_INFO` a JSON object with more about
//! each. The plugin's code and its README spell the keys of the latter differently; both are read. Names keep their hyphens, which a shell
//! cannot expand but a process can read.

use crate::{Fact, PciAddress, PodError, Root, Source, vfs::Grant};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

const PREFIX: &str = "PCIDEVICE_";
const INFO: &str = "_INFO";
const EXPECTED_INFO: &str =
    "a JSON object such as {\"0000:3b:02.6\":{\"vfio\":{\"dev-mount\":\"/dev/vfio/169\",\"mount\":\"/dev/vfio/vfio\"}}}";
const EXPECTED_LIST: &str = "PCI addresses separated by commas, such as 0000:3b:02.6,0000:3b:02.1";

/// Whether the plugin gave this container anything: the first of its variables.
pub(crate) fn mark(root: &Root) -> Option<Source> {
    root.variables_from(PREFIX).next().map(|(name, _, _)| Source::variable(name))
}

/// Every function of every resource, and what cannot be read.
pub(crate) fn grants(root: &Root, problems: &mut Vec<PodError>) -> Vec<Grant> {
    let mut grants = Vec::new();
    for (name, resource, value) in root.variables_from(PREFIX).filter(|(name, _, value)| !is_info(root, name, value)) {
        match addresses(Source::variable(name), value) {
            Ok(addresses) => grants.extend(addresses.into_iter().map(|address| Grant::new(address, resource, Source::variable(name)))),
            Err(problem) => problems.push(problem),
        }
    }
    for (name, resource, value) in root.variables_from(PREFIX).filter(|(name, _, value)| is_info(root, name, value)) {
        let resource = resource.strip_suffix(INFO).unwrap_or(resource);
        if let Err(problem) = read_info(&Source::variable(name), resource, value, &mut grants) {
            problems.push(problem);
        }
    }
    grants
}

/// A resource may be called `…info` itself: then no shorter name exists, and its value is no JSON object.
fn is_info(root: &Root, name: &str, value: &str) -> bool {
    name.strip_suffix(INFO).is_some_and(|list| root.variable(list).is_some() || value.trim_start().starts_with('{'))
}

/// The addresses of a list.
pub(crate) fn addresses(source: Source, value: &str) -> Result<Vec<PciAddress>, PodError> {
    let one = |text: &str| PciAddress::full(text).ok_or_else(|| PodError::malformed(source.clone(), value, EXPECTED_LIST));
    value.split(',').map(one).collect()
}

fn read_info(source: &Source, resource: &str, value: &str, grants: &mut [Grant]) -> Result<(), PodError> {
    let malformed = |why: &str| PodError::malformed(source.clone(), value, format!("{EXPECTED_INFO}{why}"));
    let json: Value = serde_json::from_str(value).map_err(|error| malformed(&format!(" ({error})")))?;
    let Value::Object(functions) = json else { return Err(malformed("")) };
    for (text, info) in functions {
        let address = PciAddress::full(&text).ok_or_else(|| malformed(&format!(" (`{text}` is no PCI address)")))?;
        let list = Source::variable(format!("{PREFIX}{resource}"));
        let ours: Vec<_> = grants.iter().filter(|grant| grant.resource.value == resource).map(|grant| grant.address.to_string()).collect();
        let Some(grant) = grants.iter_mut().find(|grant| grant.resource.value == resource && grant.address == address) else {
            return Err(PodError::NotGranted { source_of: source.clone(), address, list, granted: ours.join(",") });
        };
        let Value::Object(providers) = info else { return Err(malformed(&format!(" (`{text}` has no object)"))) };
        // The code's spelling first.
        let vfio = object(&providers, "vfio");
        grant.node = text_of(vfio, &["dev-mount", "vfio-dev-mount"])
            .map(|path| node(source, path).map(|path| Fact::new(path, source.clone())))
            .transpose()?;
        grant.container_node = text_of(vfio, &["mount", "vfio-mount"])
            .map(|path| node(source, path).map(|path| Fact::new(path, source.clone())))
            .transpose()?;
        let extra = object(&providers, "extra").or_else(|| object(&providers, "extraInfo"));
        grant.token =
            text_of(extra, &["token"]).map(|text| token(source, text).map(|token| Fact::new(token, source.clone()))).transpose()?;
    }
    Ok(())
}

fn object<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Map<String, Value>> {
    map.get(name)?.as_object()
}

fn text_of<'a>(map: Option<&'a Map<String, Value>>, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| map?.get(*name)?.as_str())
}

/// A node of VFIO, which is below `/dev` and nowhere else.
pub(crate) fn node(source: &Source, text: &str) -> Result<PathBuf, PodError> {
    let plain = text.starts_with("/dev/") && !Path::new(text).components().any(|part| part.as_os_str() == "..");
    if plain { Ok(text.into()) } else { Err(PodError::malformed(source.clone(), text, "a device node, such as /dev/vfio/169")) }
}

/// A VF token is a UUID (RFC 9562, 4). It becomes part of what the kernel is asked, so nothing else passes.
fn token(source: &Source, text: &str) -> Result<String, PodError> {
    let groups = text.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    let plain = text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    let expected = "a VF token, which is a UUID such as 3e49019f-412f-4f02-824e-4cd195944205";
    if groups && plain { Ok(text.into()) } else { Err(PodError::malformed(source.clone(), text, expected)) }
}
