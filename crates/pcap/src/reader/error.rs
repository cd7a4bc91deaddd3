//! What is wrong with a file of frames.

use std::io;

/// Why a file of frames cannot be read, or not further. What came before the place that it names was good.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It is no file of frames at all.
    #[error("byte 0: {found}: neither pcap nor pcapng; {remedy}")]
    NotACapture {
        /// What it begins with.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The frames are not Ethernet frames.
    #[error("byte {offset}: link type {found}, but only Ethernet (link type 1) can be sent: capture on an Ethernet interface")]
    LinkType {
        /// Where the header begins that says so, in bytes from the start of the file.
        offset: u64,
        /// The link type, a number of the registry at tcpdump.org/linktypes.html.
        found: u32,
    },
    /// What stands there is not what the format allows.
    #[error("byte {offset}: {reason}; the file is damaged from there on")]
    Malformed {
        /// Where the record or block begins, in bytes from the start of the file.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The file ends within something.
    #[error("byte {offset}: the file ends within {what}: it was cut off")]
    Truncated {
        /// Where that begins, in bytes from the start of the file.
        offset: u64,
        /// What has no end.
        what: &'static str,
    },
    /// The operating system could not read it.
    #[error("byte {offset}: {source}")]
    Io {
        /// How far it was read, in bytes.
        offset: u64,
        /// The system's error.
        source: io::Error,
    },
}
