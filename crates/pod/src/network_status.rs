//! The networks of the pod, from the annotation that Multus writes.
//!
//! The Downward API shows a pod's annotations in a file of lines `key="value"`, quoted as Go's `strconv.Quote` does. The value of
//! `k8s.v1.cni.cncf.io/network-status` is a JSON list (Kubernetes Network Custom Resource Definition De-facto Standard, 5.4; device-info is of
//! the Device Information Specification 1.1). It is written after the container starts, so it may be late: [`await_networks`] waits, with
//! a limit.

use crate::{PciAddress, PodError, Root, Source};
use serde_json::Value;
use std::{
    net::IpAddr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Where the Downward API shows annotations: where the network resources injector mounts them.
pub const ANNOTATIONS: &str = "/etc/podnetinfo/annotations";
const KEYS: [&str; 2] = ["k8s.v1.cni.cncf.io/network-status", "k8s.v1.cni.cncf.io/networks-status"];
/// Between two looks at a file that is not there yet.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A network of the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name, mostly with a namespace: `default/vf-net`.
    pub name: String,
    /// The name that its interface would have: `net1`.
    pub interface: Option<String>,
    /// The addresses that it gave the pod. They are known from here only.
    pub ips: Vec<IpAddr>,
    /// The MAC address, in lower case.
    pub mac: Option<String>,
    /// The VLAN, where the plugin says it. A VLAN that the PF inserts by itself is not seen here.
    pub vlan: Option<u16>,
    /// The MTU in bytes.
    pub mtu_bytes: Option<u32>,
    /// The pod's ordinary network.
    pub default: bool,
    /// The function that it was given.
    pub address: Option<PciAddress>,
    /// Where all this stands.
    pub source: Source,
}

impl Network {
    /// Whether a user means this one: by its full name, the name without its namespace, or its interface.
    pub fn is_called(&self, name: &str) -> bool {
        let short = self.name.rsplit('/').next();
        self.name == name || short == Some(name) || self.interface.as_deref() == Some(name)
    }

    /// For a list of candidates.
    pub(crate) fn describe(&self) -> String {
        let interface = self.interface.as_deref().map(|name| format!(", interface {name}")).unwrap_or_default();
        let address = self.address.map(|address| format!(" at {address}")).unwrap_or_default();
        format!("{}{interface}{address} ({})", self.name, self.source)
    }
}

/// The networks, as far as they are written yet.
///
/// # Errors
/// Where the annotation is there and cannot be read.
pub fn networks(root: &Root) -> Result<Vec<Network>, PodError> {
    let Some(text) = root.read(ANNOTATIONS) else { return Ok(Vec::new()) };
    parse(ANNOTATIONS, &text)
}

/// As [`networks`], but waits up to `limit` until the annotation is written. Multus writes all networks at once.
///
/// # Errors
/// As [`networks`]. That there is no network is not an error here.
pub fn await_networks(root: &Root, limit: Duration) -> Result<Vec<Network>, PodError> {
    let start = Instant::now();
    loop {
        let found = networks(root)?;
        // Where nothing shows annotations, nothing will come.
        if !found.is_empty() || start.elapsed() >= limit || !root.exists(ANNOTATIONS) {
            return Ok(found);
        }
        thread::sleep(LOOK_EVERY.min(limit));
    }
}

/// The networks in a file of annotations that is shown at `path`.
///
/// # Errors
/// [`PodError::Malformed`].
pub fn parse(path: impl AsRef<Path>, text: &str) -> Result<Vec<Network>, PodError> {
    for (index, line) in text.lines().enumerate() {
        let Some((key, quoted)) = line.split_once('=') else { continue };
        if KEYS.contains(&key) {
            let source = Source::line(path.as_ref(), index);
            let malformed = |expected: String| PodError::malformed(source.clone(), quoted, expected);
            let json =
                unquote(quoted.trim()).ok_or_else(|| malformed("a value in double quotes, escaped as the Downward API does".into()))?;
            // Multus writes it in its own time; until then the value may be empty.
            return if json.trim().is_empty() { Ok(Vec::new()) } else { read(&source, &json) };
        }
    }
    Ok(Vec::new())
}

fn read(source: &Source, json: &str) -> Result<Vec<Network>, PodError> {
    let expected = "a JSON list such as [{\"name\":\"default/vf-net\",\"interface\":\"net1\",\"device-info\":{\"type\":\"pci\",\"pci\":\
                    {\"pci-address\":\"0000:3b:02.6\"}}}]";
    let malformed = |why: &str| PodError::malformed(source.clone(), json, format!("{expected}{why}"));
    let list: Value = serde_json::from_str(json).map_err(|error| malformed(&format!(" ({error})")))?;
    let one = |entry: &Value| network(source, entry).map_err(|field| malformed(&format!(" (see {field})")));
    list.as_array().ok_or_else(|| malformed(""))?.iter().map(one).collect()
}

/// One entry; the name of the field that is wrong.
fn network(source: &Source, entry: &Value) -> Result<Network, &'static str> {
    let text = |name: &str| entry[name].as_str().filter(|text| !text.is_empty());
    let ips = entry["ips"].as_array().into_iter().flatten().map(|ip| ip_of(ip).ok_or("`ips`"));
    let address = entry["device-info"]["pci"]["pci-address"].as_str().map(|text| PciAddress::full(text).ok_or("`pci-address`"));
    Ok(Network {
        name: text("name").ok_or("`name`")?.to_owned(),
        interface: text("interface").map(str::to_owned),
        ips: ips.collect::<Result<_, _>>()?,
        mac: text("mac").map(|text| mac_of(text).ok_or("`mac`")).transpose()?,
        vlan: number(&entry["vlan"], 1..=4094).map_err(|()| "`vlan`")?.and_then(|id| u16::try_from(id).ok()),
        mtu_bytes: number(&entry["mtu"], 0..=u64::from(u32::MAX)).map_err(|()| "`mtu`")?.and_then(|mtu| u32::try_from(mtu).ok()),
        default: entry["default"] == true,
        address: address.transpose()?,
        source: source.clone(),
    })
}

fn number(value: &Value, range: std::ops::RangeInclusive<u64>) -> Result<Option<u64>, ()> {
    match value {
        Value::Null => Ok(None),
        value => value.as_u64().filter(|number| range.contains(number)).map(Some).ok_or(()),
    }
}

/// An address, with or without a prefix length.
fn ip_of(value: &Value) -> Option<IpAddr> {
    value.as_str()?.split('/').next()?.parse().ok()
}

fn mac_of(text: &str) -> Option<String> {
    let byte = |byte: &str| byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit());
    // Other links than Ethernet's have longer ones: 20 bytes of InfiniBand.
    (text.split(':').count() >= 6 && text.split(':').all(byte)).then(|| text.to_ascii_lowercase())
}

/// Undoes Go's `strconv.Quote`.
fn unquote(quoted: &str) -> Option<String> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::new();
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        if letter == '"' {
            return None;
        }
        let plain = if letter == '\\' {
            match letters.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'a' => '\x07',
                'b' => '\x08',
                'f' => '\x0c',
                'v' => '\x0b',
                same @ ('\\' | '"' | '\'') => same,
                'x' => {
                    bytes.push(u8::try_from(digits(&mut letters, 2)?).ok()?);
                    continue;
                }
                'u' => char::from_u32(digits(&mut letters, 4)?)?,
                'U' => char::from_u32(digits(&mut letters, 8)?)?,
                _ => return None,
            }
        } else {
            letter
        };
        bytes.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes());
    }
    String::from_utf8(bytes).ok()
}

fn digits(letters: &mut std::str::Chars<'_>, count: usize) -> Option<u32> {
    let text: String = letters.by_ref().take(count).collect();
    if text.len() == count { u32::from_str_radix(&text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_quotes_is_read() {
        for (quoted, want) in [
            (r#""a\"b\\c\n""#, Some("a\"b\\c\n")),
            (r#""\u00e9\xc3\xa9\U0001f600é""#, Some("éé😀é")),
            (r#""""#, Some("")),
            (r#""a"#, None),
            (r#"""#, None),
            ("plain", None),
            (r#""a"b""#, None),
            (r#""\"#, None),
            (r#""\ud800""#, None),
            (r#""\xff""#, None),
            (r#""\u12""#, None),
            (r#""\q""#, None),
        ] {
            assert_eq!(unquote(quoted).as_deref(), want, "{quoted}");
        }
    }
}
