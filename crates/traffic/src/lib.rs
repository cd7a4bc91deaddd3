//! Test traffic: what is sent, when, and what became of it.

#![forbid(unsafe_code)]
