//! vfwire.
