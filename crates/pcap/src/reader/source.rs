//! Bytes of a file, in one of two orders, and how far one is.

use super::ReadError;
use std::io::{self, BufRead, BufReader, Read};

/// Reads forward only, so that pipes serve too.
pub(super) struct Source<R> {
    bytes: BufReader<R>,
    /// Where the next byte stands in the file.
    pub(super) offset: u64,
}

impl<R: Read> Source<R> {
    pub(super) fn new(bytes: R) -> Self {
        Self { bytes: BufReader::with_capacity(1 << 16, bytes), offset: 0 }
    }

    /// Whether nothing is left.
    pub(super) fn is_at_end(&mut self) -> Result<bool, ReadError> {
        loop {
            match self.bytes.fill_buf() {
                Ok(bytes) => return Ok(bytes.is_empty()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ReadError::Io { offset: self.offset, source }),
            }
        }
    }

    /// The next `N` bytes, which belong to `what`, which began at `from`.
    pub(super) fn take<const N: usize>(&mut self, from: u64, what: &'static str) -> Result<[u8; N], ReadError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, from, what)?;
        Ok(bytes)
    }

    /// Fills all of `bytes`.
    pub(super) fn fill(&mut self, bytes: &mut [u8], from: u64, what: &'static str) -> Result<(), ReadError> {
        self.bytes.read_exact(bytes).map_err(|source| self.failed(source, from, what))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Passes over `count` bytes, without room for them.
    pub(super) fn skip(&mut self, count: u32, from: u64, what: &'static str) -> Result<(), ReadError> {
        let count = u64::from(count);
        let skipped = io::copy(&mut (&mut self.bytes).take(count), &mut io::sink()).map_err(|source| self.failed(source, from, what))?;
        self.offset += skipped;
        if skipped < count { Err(ReadError::Truncated { offset: from, what }) } else { Ok(()) }
    }

    fn failed(&self, source: io::Error, from: u64, what: &'static str) -> ReadError {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => ReadError::Truncated { offset: from, what },
            _ => ReadError::Io { offset: self.offset, source },
        }
    }
}

/// The order of the bytes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    /// The `N` words that `bytes` are. Whoever calls gives `4 * N` bytes.
    pub(super) fn words<const N: usize>(self, bytes: &[u8]) -> [u32; N] {
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = self.u32(*bytes);
        }
        words
    }
}
