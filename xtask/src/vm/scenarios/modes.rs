//! Modes of the forwarder that speak IP, against the kernel: its igbvf on the second VF of a PF, with a namespace for each station.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::peer;
use crate::vm::devices::At;
use crate::vm::forwarder::{self, Forwarder};
use crate::vm::lab::Lab;

const PING_LIMIT: Duration = Duration::from_secs(20);

/// The kernel pings us and sends us datagrams.
pub(super) fn echo(lab: &mut Lab) -> Result<()> {
    let vf = lab.function(At::Pf(0));
    peer::start_peer(lab, 1500, None)?;
    let options = format!("--ip {}", peer::OURS);
    let forwarder = Forwarder::start(&mut lab.guest, &forwarder::command(&[&vf], "echo", &options))?;
    peer::talks(&mut lab.guest, peer::payload(1500))?;
    let summary = forwarder.stop(&mut lab.guest)?;
    let (received, dropped) = (summary.counter(0, "rx_frames")?, summary.counter(0, "rx_dropped_by_mode")?);
    ensure!(summary.counter(0, "tx_frames")? + dropped == received, "{received} frames were not answered or dropped");
    Ok(())
}

/// The address of our VF in a network.
fn router(network: usize) -> String {
    format!("02:00:00:00:0{network}:fe")
}

/// Two networks, one a PF, and our router between them: the kernel is a station in each.
pub(super) fn l3(lab: &mut Lab) -> Result<()> {
    let ours = [lab.function(At::Pf(0)), lab.function(At::Pf(1))];
    let mut routes = String::new();
    for network in 0..2 {
        let kernels = lab.pfs[network][1].clone();
        let station = lab.guest.run(&format!(
            "set -e\nip link set {pf} vf 0 mac {router}\nbind {vf} igbvf\nip netns add net{network}\n\
             ip link set $(ls /sys/bus/pci/devices/{vf}/net) netns net{network} name peer0\n\
             on=\"ip -n net{network}\"\n\
             # IPv6 is off where a scenario does not ask for it.\n\
             ip netns exec net{network} sh -c 'echo 0 > /proc/sys/net/ipv6/conf/peer0/disable_ipv6'\n\
             $on link set peer0 up\n\
             $on addr add 10.{network}.0.1/24 dev peer0\n$on addr add 2001:db8:{network}::1/64 dev peer0 nodad\n\
             $on route add default via 10.{network}.0.254\n$on -6 route add default via 2001:db8:{network}::254 dev peer0\n\
             $on neigh add 10.{network}.0.254 lladdr {router} dev peer0\n$on neigh add 2001:db8:{network}::254 lladdr {router} dev peer0\n\
             is_up() {{ $on link show peer0 | grep -q LOWER_UP; }}\nwait_for 10 is_up\n\
             ip netns exec net{network} cat /sys/class/net/peer0/address",
            pf = kernels.pf,
            vf = kernels.address,
            router = router(network),
        ))?;
        let station = station.trim().lines().last().unwrap_or_default().to_owned();
        routes.push_str(&format!("10.{network}.0.0/16 {network} {station}\n2001:db8:{network}::/48 {network} {station}\n"));
    }
    lab.guest.run(&format!("cat > /tmp/routes <<'END'\n{routes}END"))?;
    let command = forwarder::command(&[&ours[0], &ours[1]], "l3", "--routes /tmp/routes");
    let forwarder = Forwarder::start(&mut lab.guest, &command)?;
    for (from, to) in [(0, 1), (1, 0)] {
        for (family, target) in [("-4", format!("10.{to}.0.1")), ("-6", format!("2001:db8:{to}::1"))] {
            for bytes in [16, 1400] {
                let ping = format!("ip netns exec net{from} ping {family} -A -c 20 -w 15 -s {bytes} {target}");
                let exit = lab.guest.exit_of(&ping, PING_LIMIT)?;
                let all = exit.output.contains(" 20 packets received, 0% packet loss");
                // One hop there and one back: each station sends with 64.
                ensure!(all && exit.output.contains("ttl=63"), "{ping}:\n{}", exit.output);
            }
        }
        // No route: nobody answers, and the mode counts it.
        let exit = lab.guest.exit_of(&format!("ip netns exec net{from} ping -c 1 -w 1 10.9.0.1"), PING_LIMIT)?;
        ensure!(exit.output.contains("100% packet loss"), "{}", exit.output);
    }
    let summary = forwarder.stop(&mut lab.guest).context("the router")?;
    for port in 0..2 {
        let dropped = summary.counter(port, "rx_dropped_by_mode")?;
        ensure!(dropped >= 1, "port {port}: a packet without a route was not counted");
        ensure!(summary.counter(port, "tx_frames")? >= 160, "port {port} sent too little");
    }
    Ok(())
}
