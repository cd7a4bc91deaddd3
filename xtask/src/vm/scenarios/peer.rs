//! Our VF against the kernel's own driver on the other VF of the same PF: the switch inside the 82576 joins them.
//!
//! The kernel's side sits in a network namespace with the address 10.0.0.1; ours is the example `echo` at 10.0.0.2.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::vm::devices::At;
use crate::vm::forwarder::START_LIMIT;
use crate::vm::guest::{Guest, Program, Vf};
use crate::vm::lab::Lab;

pub(super) const OURS: &str = "10.0.0.2";
const VLAN: u16 = 100;
const JUMBO_MTU: u16 = 9000;

/// Payload of a ping or datagram that fills a frame of this MTU: 20 bytes of IPv4, 8 of ICMP or UDP.
pub(super) const fn payload(mtu: u16) -> u16 {
    mtu - 28
}

/// Starts `echo` on a VF.
pub(super) fn start_echo(lab: &mut Lab, vf: &Vf, options: &str) -> Result<Program> {
    // By its path: to the guest's shell, `echo` is something else.
    let program = lab.guest.start(&format!("exec /usr/bin/echo {} {OURS} {options}", vf.address))?;
    program.wait_for_words(&mut lab.guest, "answering", START_LIMIT)?;
    Ok(program)
}

/// Gives the other VF to the kernel, in a namespace of its own, and prints the name of its interface.
pub(super) fn start_peer(lab: &mut Lab, mtu: u16, vlan: Option<u16>) -> Result<()> {
    let vf = lab.pfs[0][1].clone();
    let address = |device: &str| format!("ip -n peer addr add 10.0.0.1/24 dev {device}\nip -n peer link set {device} up");
    let addressed = match vlan {
        None => address("peer0"),
        Some(id) => format!("ip -n peer link add link peer0 name tagged type vlan id {id}\n{}", address("tagged")),
    };
    lab.guest.run(&format!(
        "set -e\npeer_is_up() {{ ip -n peer link show peer0 | grep -q LOWER_UP; }}\nip link set {pf} mtu {mtu}\nbind {vf} igbvf\nip netns add peer\n\
         ip link set $(ls {devices}/{vf}/net) netns peer name peer0\n\
         ip -n peer link set peer0 mtu {mtu} up\n{addressed}\n\
         wait_for 10 peer_is_up",
        pf = vf.pf,
        vf = vf.address,
        devices = "/sys/bus/pci/devices",
    ))?;
    Ok(())
}

/// Pings, and sends datagrams that must come back as they were.
pub(super) fn talks(guest: &mut Guest, largest: u16) -> Result<()> {
    for bytes in [16, 301, largest] {
        let ping = format!("ip netns exec peer ping -A -q -c 20 -w 15 -s {bytes} {OURS}");
        let exit = guest.exit_of(&ping, Duration::from_secs(20))?;
        ensure!(exit.output.contains(" 20 packets received, 0% packet loss"), "ping of {bytes} bytes:\n{}", exit.output);
        let datagrams = format!(
            "head -c {bytes} /dev/urandom > /tmp/sent\n\
             for i in 1 2 3; do ip netns exec peer bash -c 'exec 3<>/dev/udp/{OURS}/7; cat /tmp/sent >&3; \
             timeout 3 dd bs=65536 count=1 <&3 2>/dev/null' > /tmp/answer; cmp /tmp/sent /tmp/answer || exit 1; done"
        );
        guest.run(&datagrams).with_context(|| format!("datagrams of {bytes} bytes"))?;
    }
    let snmp = guest.run("ip netns exec peer awk '/^(Icmp|Udp):/' /proc/net/snmp")?;
    for counter in ["InCsumErrors", "InErrors"] {
        let errors = snmp_counter(&snmp, counter);
        ensure!(errors == Some(0), "the peer counted {counter} = {errors:?}:\n{snmp}");
    }
    Ok(())
}

/// Sum of a counter over the protocols, in the kernel's pairs of lines of names and of values.
fn snmp_counter(snmp: &str, name: &str) -> Option<u64> {
    let lines: Vec<Vec<_>> = snmp.lines().map(|line| line.split_whitespace().collect()).collect();
    let values = lines.chunks_exact(2).filter_map(|pair| {
        let at = pair[0].iter().position(|word| *word == name)?;
        pair[1].get(at)?.parse::<u64>().ok()
    });
    values.reduce(|sum, value| sum + value)
}

fn scene(lab: &mut Lab, mtu: u16, vlan: Option<u16>, options: &str) -> Result<()> {
    let vf = lab.function(At::Pf(0));
    start_peer(lab, mtu, vlan)?;
    let echo = start_echo(lab, &vf, options)?;
    talks(&mut lab.guest, payload(mtu))?;
    echo.signal(&mut lab.guest, "TERM")?;
    echo.wait(&mut lab.guest, START_LIMIT).map(drop)
}

pub(super) fn plain(lab: &mut Lab) -> Result<()> {
    scene(lab, 1500, None, "")
}

pub(super) fn vlan(lab: &mut Lab) -> Result<()> {
    scene(lab, 1500, Some(VLAN), &format!("--vlan {VLAN}"))
}

pub(super) fn jumbo(lab: &mut Lab) -> Result<()> {
    scene(lab, JUMBO_MTU, None, &format!("--mtu {JUMBO_MTU}"))
}

#[cfg(test)]
mod tests {
    use super::snmp_counter;

    #[test]
    fn counters_of_all_protocols_are_summed() {
        let snmp = "Icmp: InMsgs InErrors InCsumErrors\nIcmp: 9 1 2\nUdp: InDatagrams InErrors\nUdp: 7 3\n";
        assert_eq!(snmp_counter(snmp, "InErrors"), Some(4));
        assert_eq!(snmp_counter(snmp, "InCsumErrors"), Some(2));
        assert_eq!(snmp_counter(snmp, "NoSuch"), None);
    }
}
