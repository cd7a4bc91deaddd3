//! What the fuzz targets share. In the targets of drivers the fuzzer is the device, its PF and its bus, and the driver is unchanged.
//!
//! | module | what it owns |
//! |---|---|
//! | [`input`] | the fuzzer's bytes, as answers of the device and as steps of the script |
//! | [`device`] | a simulated function between driver and model, whose every answer the fuzzer may replace |
//! | [`memory`] | DMA memory with guarded edges, every byte of which the fuzzer may write at any time |
//! | [`drive`] | an application that does what the script says with a port, and checks what it gets |
//! | [`ledger`] | what must hold of counters, events and frames, whatever the device does |
//! | [`subject`] | the drivers, and the models under them |

pub mod device;
pub mod drive;
pub mod input;
pub mod ledger;
pub mod memory;
pub mod subject;
