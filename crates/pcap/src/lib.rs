//! Files of frames, and filters on frames.

#![forbid(unsafe_code)]
