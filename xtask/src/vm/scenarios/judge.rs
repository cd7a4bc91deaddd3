//! Whether the judge sees what it must see: each kind of mistake is made on purpose.

use anyhow::{Result, bail, ensure};

use super::recovery;
use super::traffic::swapped;
use crate::vm::lab::Lab;
use crate::vm::wire::exchange;

pub(super) fn notices(lab: &mut Lab) -> Result<()> {
    // Not one that other scenarios use, who want to see what they do themselves.
    let vf = lab.pfs[1][1].clone();
    for (provoke, words) in [("register", "igbvf_wrn_io_addr_unknown"), ("dma", "DMAR:")] {
        lab.guest.run(&format!("sh /vm/provoke.sh {provoke} {}", vf.address))?;
        match lab.guest.check_faults() {
            Ok(()) => bail!("a fault of kind {provoke} went unnoticed"),
            Err(error) => ensure!(error.to_string().contains(words), "not the fault that was provoked: {error:#}"),
        }
    }
    // Nobody forwards now.
    let stream = swapped(lab, 10);
    ensure!(exchange(&stream, 10, &lab.wires[0], &lab.wires[0]).is_err(), "frames came back although nothing forwards");
    match recovery::account_of_lost_frames(lab)? {
        Ok(()) => bail!("the account closed although frames were lost from a port that worked"),
        Err(error) => ensure!(error.to_string().contains("lost while the port said that it worked"), "another error: {error:#}"),
    }
    Ok(())
}
