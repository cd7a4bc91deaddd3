//! The suite that every driver's tests instantiate.
