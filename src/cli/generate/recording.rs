//! Reads the file whose frames are sent again.

use crate::cli::{Failure, console::Console};
use std::{fs::File, io::BufReader, path::Path};
use vfwire_pcap::Reader;
use vfwire_spec::net::{ETH_HEADER_BYTES, VLAN_TAG_BYTES};
use vfwire_traffic::Recording;

/// A recording, and whether the file was read to its end.
pub(super) struct Loaded {
    pub(super) recording: Recording,
    pub(super) complete: bool,
}

/// The frames of a file, as many as can be read: where it is damaged, those before are sent, and it is said.
pub(super) fn load(path: &Path, mtu: u16, console: &mut Console) -> Result<Loaded, Failure> {
    let name = path.display();
    let file = File::open(path).map_err(|error| Failure::failed(format!("--replay {name}: {error}")))?;
    let mut reader = Reader::new(BufReader::new(file)).map_err(|error| Failure::failed(format!("--replay {name}: {error}")))?;
    let longest = ETH_HEADER_BYTES + VLAN_TAG_BYTES + usize::from(mtu);
    let (mut recording, mut cut) = (Recording::new(), 0u64);
    let complete = loop {
        match reader.next() {
            Ok(None) => break true,
            Ok(Some(record)) => {
                cut += u64::from(record.data.len() < record.original_len as usize);
                recording
                    .push(record.time_ns, record.data, longest)
                    .map_err(|error| Failure::failed(format!("--replay {name}: {error}")))?;
            }
            Err(error) if recording.is_empty() => return Err(Failure::failed(format!("--replay {name}: {error}"))),
            Err(error) => {
                console.warn(&format!("--replay {name}: {error}; the {} frames before it are sent", recording.len()));
                break false;
            }
        }
    };
    if recording.is_empty() {
        return Err(Failure::failed(format!("--replay {name}: no frame is in it: record some")));
    }
    if cut != 0 {
        console.warn(&format!("--replay {name}: {cut} frames were cut when they were recorded, and are sent so"));
    }
    Ok(Loaded { recording, complete })
}
