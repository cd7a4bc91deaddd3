//! The fuzzer's bytes: the device takes its answers from the front, the script its steps from the back. So an input that grows in front
//! keeps its script.

use std::sync::{Arc, Mutex, PoisonError};

/// The bytes of one run. Clones share them.
#[derive(Clone, Debug)]
pub struct Input(Arc<Mutex<Bytes>>);

#[derive(Debug)]
struct Bytes {
    bytes: Box<[u8]>,
    front: usize,
    back: usize,
}

impl Input {
    /// All of `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Arc::new(Mutex::new(Bytes { bytes: bytes.into(), front: 0, back: bytes.len() })))
    }

    fn take<const N: usize>(&self, at: impl FnOnce(&mut Bytes) -> usize) -> Option<[u8; N]> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.back - bytes.front < N {
            return None;
        }
        let at = at(&mut bytes);
        bytes.bytes[at..at + N].try_into().ok()
    }

    /// The next bytes of the device; nothing where the input is used up.
    pub fn device<const N: usize>(&self) -> Option<[u8; N]> {
        self.take(|bytes| {
            bytes.front += N;
            bytes.front - N
        })
    }

    /// The next bytes of the script; nothing where the input is used up.
    pub fn script<const N: usize>(&self) -> Option<[u8; N]> {
        self.take(|bytes| {
            bytes.back -= N;
            bytes.back
        })
    }

    /// The next byte of the script, or zero.
    pub fn byte(&self) -> u8 {
        self.script().map_or(0, |[byte]| byte)
    }

    /// The next two bytes of the script, or zero.
    pub fn half(&self) -> u16 {
        self.script().map_or(0, u16::from_le_bytes)
    }

    /// The next eight bytes of the script, or zero.
    pub fn double(&self) -> u64 {
        self.script().map_or(0, u64::from_le_bytes)
    }
}
