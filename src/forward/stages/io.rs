//! Touches nothing.

use crate::{BufCache, Burst, forward::Stage};

/// Touches nothing: frames leave as they came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Io;

impl Stage for Io {
    #[inline(always)]
    fn process(&mut self, _burst: &mut Burst, _cache: &mut BufCache) {}
}
