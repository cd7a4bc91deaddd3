//! virtio-net functions: both kinds of rings, in order or not, frames in one buffer or several, on wires and on tap devices.

use anyhow::{Context, Result, ensure};

use super::peer::{payload, start_echo, talks};
use super::traffic::{FRAMES, VF_A, VF_B, both_ways, exchange_both_ways, mac_swap_at, swapped};
use super::{checksums, filters, life, recovery, removal};
use crate::vm::devices::At;
use crate::vm::devices::{Backend, VIRTIO, virtio_mac};
use crate::vm::forwarder::{self, Forwarder, START_LIMIT};
use crate::vm::lab::Lab;
use crate::vm::stream::{Mac, Stream, Tag};
use crate::vm::wire::{bridged, exchange, expect_silence};

/// A function of each kind of rings.
pub(super) const NAMES: [&str; 2] = ["split", "packed"];

const KILLS: u32 = 3;

/// Does something with a function of each kind of rings.
fn each(lab: &mut Lab, scenario: impl Fn(&mut Lab, At) -> Result<()>) -> Result<()> {
    NAMES.into_iter().try_for_each(|name| {
        println!("  {name}:");
        scenario(lab, at(name)).with_context(|| name.to_owned())
    })
}

/// The function of this name.
pub(super) fn at(name: &str) -> At {
    At::Virtio(VIRTIO.iter().position(|function| function.name == name).expect("a name of the list"))
}

/// A function and the address that the machine gave it.
pub(super) fn end(name: &str) -> (At, Mac) {
    let At::Virtio(index) = at(name) else { unreachable!("a virtio-net function") };
    (At::Virtio(index), virtio_mac(index))
}

fn names(backend: Backend) -> impl Iterator<Item = &'static str> {
    VIRTIO.iter().filter(move |function| function.backend == backend).map(|function| function.name)
}

/// What the others rely on: the wires, the taps and the devices carry every frame with the kernel's own driver, which bridges two functions.
pub(super) fn kernel(lab: &mut Lab) -> Result<()> {
    for (a, b, mtu) in [
        ("split", "packed", 1500),
        ("split-in-order", "packed-in-order", 1500),
        ("split-single", "packed-single", 1500),
        ("tap", "tap-packed", 1500),
    ] {
        // To other stations: a bridge keeps what is for its own ports.
        let (a, b) = ((at(a), VF_A), (at(b), VF_B));
        let addresses = [lab.function(a.0).address, lab.function(b.0).address].join(" ");
        lab.guest.run(&format!(
            "set -e\nip link add bridge type bridge\nfor function in {addresses}; do bind $function virtio-pci\n\
             ip link set $(netdev $function) mtu {mtu} master bridge up; done\nip link set bridge mtu {mtu} up\n\
             forwarding() {{ [ \"$(cat /sys/class/net/bridge/brif/*/state)\" = \"3\n3\" ]; }}\nwait_for 10 forwarding"
        ))?;
        let through = exchange_both_ways(lab, [a, b], mtu + 14);
        lab.guest.run("sh /vm/baseline.sh")?;
        through.with_context(|| format!("{a:?} and {b:?}"))?;
    }
    Ok(())
}

pub(super) fn mac_swap(lab: &mut Lab) -> Result<()> {
    for name in names(Backend::Datagrams) {
        let loads: &[_] = if NAMES.contains(&name) { &[(1, 2000), (32, 2000), (128, FRAMES)] } else { &[(128, FRAMES)] };
        mac_swap_at(lab, at(name), loads).with_context(|| name.to_owned())?;
    }
    Ok(())
}

pub(super) fn tap(lab: &mut Lab) -> Result<()> {
    names(Backend::Tap).try_for_each(|name| mac_swap_at(lab, at(name), &[(128, FRAMES)]).with_context(|| name.to_owned()))
}

pub(super) fn jumbo(lab: &mut Lab) -> Result<()> {
    each(lab, filters::jumbo_at)
}

pub(super) fn filters(lab: &mut Lab) -> Result<()> {
    each(lab, |lab, at| filters::multicast_at(lab, at).and_then(|()| promiscuous(lab, at)))
}

/// The device filters VLANs by what its control queue was told (CTRL_VLAN), and leaves the tags where they are. One that was never joined
/// cannot be tried: QEMU 10.0.2 begins with all of them let through.
pub(super) fn vlan(lab: &mut Lab) -> Result<()> {
    each(lab, |lab, at| filters::left_vlan_at(lab, at, Tag::Kept))
}

/// Other stations' frames come through where that was asked for, and only there.
fn promiscuous(lab: &mut Lab, at: At) -> Result<()> {
    for is_promiscuous in [true, false] {
        let options = format!("--mac {}{}", forwarder::text(VF_A), if is_promiscuous { " --promiscuous" } else { "" });
        let command = forwarder::command(&[&lab.function(at)], "mac-swap", &options);
        let forwarder = Forwarder::start(&mut lab.guest, &command)?;
        let stream = Stream { to: [0x02, 0, 0, 0, 0xee, 0xee], ..swapped(lab, 500) };
        if is_promiscuous {
            exchange(&stream, 32, lab.wire(at), lab.wire(at)).context("promiscuous")?;
        } else {
            expect_silence(&stream, lab.wire(at), lab.wire(at)).context("not promiscuous")?;
        }
        forwarder.stop(&mut lab.guest)?;
    }
    Ok(())
}

pub(super) fn two_drivers(lab: &mut Lab) -> Result<()> {
    let vf = lab.function(At::Pf(0));
    lab.guest.run(&format!("ip link set {} vf {} mac {}", vf.pf, vf.index, forwarder::text(VF_A)))?;
    for name in NAMES {
        both_ways(lab, [(At::Pf(0), VF_A), end(name)]).with_context(|| format!("igbvf and {name}"))?;
    }
    both_ways(lab, [end("split"), end("packed")]).context("split and packed")
}

/// The kernel's own driver on one function, ours on the other, and a cable between them.
pub(super) fn ping(lab: &mut Lab) -> Result<()> {
    for (ours, kernels, mtu) in [("split", "packed", 1500), ("packed", "split", 1500), ("packed", "split", 9000)] {
        let (ours, kernels) = (at(ours), at(kernels));
        let function = lab.function(kernels).address;
        lab.guest.run(&format!(
            "set -e\nbind {function} virtio-pci\nip netns add peer\nip link set $(netdev {function}) netns peer name peer0\n\
             ip -n peer addr add 10.0.0.1/24 dev peer0\nip -n peer link set peer0 mtu {mtu} up"
        ))?;
        let function = lab.function(ours);
        let echo = start_echo(lab, &function, &format!("--mtu {mtu}"))?;
        let guest = &mut lab.guest;
        let wires = [ours, kernels].map(|at| {
            let At::Virtio(index) = at else { unreachable!("virtio-net functions") };
            &lab.virtio_wires[index]
        });
        bridged(wires[0], wires[1], || talks(guest, payload(mtu))).with_context(|| format!("ours is {ours:?}, MTU {mtu}"))?;
        echo.signal(&mut lab.guest, "TERM")?;
        echo.wait(&mut lab.guest, START_LIMIT)?;
        lab.guest.run("sh /vm/baseline.sh")?;
    }
    Ok(())
}

pub(super) fn killed(lab: &mut Lab) -> Result<()> {
    each(lab, |lab, at| life::killed_at(lab, at, KILLS).map(drop))
}

pub(super) fn function_reset(lab: &mut Lab) -> Result<()> {
    each(lab, recovery::function_reset_at)
}

pub(super) fn cable(lab: &mut Lab) -> Result<()> {
    // QEMU 10.0 counts wrongly when it drops what is in a packed ring while the link is down, and notices that when the link is up again: then it
    // says NEEDS_RESET, and the port has one more thing to recover from.
    lab.guest.expected = Some("Virtqueue size exceeded");
    each(lab, recovery::cable_at)
}

pub(super) fn bus_error(lab: &mut Lab) -> Result<()> {
    each(lab, recovery::bus_error_at)
}

// What takes a function away does not ask what rings it has: one kind for each.

pub(super) fn unbound(lab: &mut Lab) -> Result<()> {
    removal::unbound_at(lab, at("split"))
}

pub(super) fn unplugged(lab: &mut Lab) -> Result<()> {
    removal::unplugged_at(lab, at("packed"))
}

pub(super) fn checksums(lab: &mut Lab) -> Result<()> {
    names(Backend::Tap).try_for_each(|name| checksums::checksums_at(lab, at(name)).with_context(|| name.to_owned()))
}

/// A function that has no place for more than one buffer a frame says so where long frames are asked for.
pub(super) fn single(lab: &mut Lab) -> Result<()> {
    for name in ["split-single", "packed-single"] {
        let function = lab.function(at(name));
        let ended = lab.guest.start(&forwarder::command(&[&function], "io", "--mtu 9000"))?.wait(&mut lab.guest, START_LIMIT)?;
        ensure!(ended.code == 2 && ended.stderr.contains("MRG_RXBUF"), "{name} ended with {}: {}", ended.code, ended.stderr);
    }
    Ok(())
}
