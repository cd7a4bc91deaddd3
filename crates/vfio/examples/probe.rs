//! Opens functions through VFIO and shows that everything of this crate works on them:
//! `probe ADDRESS [SECOND_ADDRESS] [--no-hugepages] [--wait-removal]`.
//!
//! Register 8 is the STATUS register of the Intel VFs that vfwire drives; it is only read.

use std::{error::Error, thread, time::Duration};
use vfwire_core::{
    bar::Bar,
    bus::{BarIndex, PciFunction},
};
use vfwire_spec::pci::{COMMAND, COMMAND_BUS_MASTER};
use vfwire_vfio::{HugepageChoice, Sysfs, Vfio, VfioOptions, network_functions};

fn main() {
    if let Err(error) = run() {
        eprintln!("probe: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    for function in network_functions(&Sysfs::default())? {
        println!("{function:?}");
    }
    let hugepages = if flag("--no-hugepages") { HugepageChoice::None } else { HugepageChoice::Size2M };
    let vfio = Vfio::new(VfioOptions { hugepages, ..VfioOptions::default() });
    let address = arguments.first().ok_or("usage: probe ADDRESS [SECOND_ADDRESS] [--no-hugepages] [--wait-removal]")?.parse()?;

    let function = vfio.open(address)?;
    println!("{} is {}", function.address(), function.id());
    let bar = function.map_bar(BarIndex::ZERO)?;
    println!("{} of {} bytes, STATUS {:#010x}", BarIndex::ZERO, bar.len_bytes(), bar.read::<u32>(8));
    println!("second open: {}", vfio.open(address).err().ok_or("a function was opened twice")?);
    println!("offset 4095: {}", function.config_read::<u16>(4095).err().ok_or("an unaligned word was read")?);

    let memory = vfio.dma().alloc(4 << 20, 4096)?;
    println!("{memory:?}, {} bytes mapped", vfio.mapped_bytes());
    function.reset()?;
    let command: u16 = function.config_read(COMMAND)?;
    println!("command register after a reset {command:#06x}");
    if command & COMMAND_BUS_MASTER == 0 {
        return Err("bus mastering is off after a reset".into());
    }
    println!("memory note: {:?}, event: {:?}", vfio.memory_note(), function.poll_event());

    if let Some(second) = arguments.get(1).filter(|argument| !argument.starts_with("--")) {
        let second = vfio.open(second.parse()?)?;
        println!("{} shares the domain: {}", second.address(), second.dma().domain() == function.dma().domain());
    }

    drop((bar, function));
    let again = vfio.open(address)?; // memory is mapped again for the new domain
    println!("opened again with {} bytes mapped", vfio.mapped_bytes());
    drop(memory);
    println!("{} bytes mapped after the memory was dropped", vfio.mapped_bytes());
    if flag("--wait-removal") {
        println!("waiting for the kernel to ask for {address} back");
        let event = (0..600).find_map(|_| {
            thread::sleep(Duration::from_millis(100));
            again.poll_event()
        });
        println!("event: {event:?}");
    }
    Ok(())
}
