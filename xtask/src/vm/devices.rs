//! What is plugged into a machine, as QEMU's command line has it.
//!
//! Every function sits behind a root port of its own: so each has an IOMMU group of its own, and can be reset.

/// A device brings a network boot program of its own otherwise, which takes seconds of each boot.
const NO_ROM: &str = "romfile=";

/// The PFs that have wires.
pub(super) const PFS: [&str; 2] = ["a", "b"];
/// Their MACs.
pub(super) const PF_MACS: [&str; 2] = ["52:54:00:11:22:0a", "52:54:00:11:22:0b"];

/// What a machine is equipped with besides its control channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Equipment {
    /// Two 82576 PFs with wires, and one without.
    Pfs,
    /// The same, and container runtimes.
    Containers,
    /// The PFs, and every function of [`VIRTIO`].
    Virtio,
    /// The functions of [`PAIRS`], two of each, joined in the machine.
    Pairs,
}

/// Where the frames of a virtio-net function go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    /// A pair of datagram sockets: no vnet header, so neither checksums nor segmentation are offered.
    Datagrams,
    /// A tap device of the namespace with two queues.
    Tap,
}

/// A virtio-net function: the device's options besides those that all have.
pub(super) struct Virtio {
    pub(super) name: &'static str,
    pub(super) options: &'static str,
    pub(super) backend: Backend,
}

const fn virtio(name: &'static str, backend: Backend, options: &'static str) -> Virtio {
    Virtio { name, options, backend }
}

/// The virtio-net functions of [`Equipment::Virtio`], in the order of their addresses. Packed rings are without event indices: with them the
/// kernel's own driver stops sending after some hundred frames (seen with QEMU 10.0.2 and Linux 6.12). Ours does not use them.
pub(super) const VIRTIO: [Virtio; 8] = [
    virtio("split", Backend::Datagrams, "host_mtu=9000"),
    virtio("packed", Backend::Datagrams, "packed=on,event_idx=off,host_mtu=9000"),
    virtio("split-in-order", Backend::Datagrams, "in_order=on"),
    virtio("packed-in-order", Backend::Datagrams, "packed=on,event_idx=off,in_order=on"),
    virtio("split-single", Backend::Datagrams, "mrg_rxbuf=off"),
    virtio("packed-single", Backend::Datagrams, "packed=on,event_idx=off,mrg_rxbuf=off"),
    virtio("tap", Backend::Tap, "mq=on,rss=on,hash=on,vectors=7"),
    virtio("tap-packed", Backend::Tap, "mq=on,rss=on,hash=on,vectors=7,packed=on,event_idx=off"),
];

/// The kinds of functions of [`Equipment::Pairs`], in the order of their addresses, two functions of each.
pub(super) const PAIRS: [(&str, &str); 3] = [("split", ""), ("packed", "packed=on"), ("split-single", "mrg_rxbuf=off")];

/// A place for a device with a wire, and its function there that scenarios use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// The first VF of this PF.
    Pf(usize),
    /// This virtio-net function.
    Virtio(usize),
}

impl At {
    /// Its name: the root port there is `port-…`, the device `device-…`, the wire `wire-…`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pf(index) => PFS[index],
            Self::Virtio(index) => VIRTIO[index].name,
        }
    }

    /// Its name in QEMU's commands.
    pub(super) fn device_id(self) -> String {
        format!("device-{}", self.name())
    }

    /// The device as QEMU's command line and monitor have it.
    pub(super) fn device(self) -> String {
        let (name, id) = (self.name(), self.device_id());
        let kind = match self {
            Self::Pf(index) => format!("igb,mac={}", PF_MACS[index]),
            Self::Virtio(index) => format!("{},{}", virtio_net(index), VIRTIO[index].options),
        };
        format!("{kind},id={id},netdev=wire-{name},bus=port-{name},{NO_ROM}")
    }
}

/// A modern virtio-net function behind the IOMMU.
fn virtio_net(index: usize) -> String {
    format!("virtio-net-pci,mac={},disable-legacy=on,iommu_platform=on", super::forwarder::text(virtio_mac(index)))
}

/// MAC of the virtio-net function at this place of its list.
pub(super) fn virtio_mac(index: usize) -> [u8; 6] {
    [0x02, 0, 0, 0, 0xc0, u8::try_from(index).expect("few functions")]
}

/// Name of the tap device of a function.
pub(super) fn tap(index: usize) -> String {
    format!("guest{index}")
}

impl Equipment {
    /// How many PFs there are.
    pub(super) fn pfs(self) -> usize {
        if self == Self::Pairs { 0 } else { 3 }
    }

    /// How many virtio-net functions there are.
    pub(super) fn virtio_functions(self) -> usize {
        match self {
            Self::Pfs | Self::Containers => 0,
            Self::Virtio => VIRTIO.len(),
            Self::Pairs => 2 * PAIRS.len(),
        }
    }

    /// Names of the wires of the virtio-net functions.
    pub(super) fn virtio_wires(self) -> impl Iterator<Item = &'static str> {
        let functions = VIRTIO.iter().map(|function| function.name).filter(move |_| self == Self::Virtio);
        let pairs = PAIRS.iter().map(|pair| pair.0).filter(move |_| self == Self::Pairs);
        functions.chain(pairs)
    }

    pub(super) fn arguments(self) -> Vec<String> {
        let mut plugged = Plugged::default();
        if self != Self::Pairs {
            for (index, name) in PFS.iter().enumerate() {
                plugged.netdev(&datagrams(name));
                plugged.behind_port(name, "", &At::Pf(index).device());
            }
            // A port without access control services: this PF and its VFs are one group, which its kernel driver makes unusable for VFIO.
            plugged.behind_port("c", ",disable-acs=true", &format!("igb,bus=port-c,{NO_ROM}"));
        }
        match self {
            Self::Pfs | Self::Containers => {}
            Self::Virtio => VIRTIO.iter().enumerate().for_each(|(index, function)| plugged.virtio(index, function)),
            Self::Pairs => PAIRS.iter().enumerate().for_each(|(hub, (name, options))| plugged.pair(hub, name, options)),
        }
        plugged.arguments
    }
}

fn datagrams(name: &str) -> String {
    format!("dgram,id=wire-{name},local.type=unix,local.path={name}.guest,remote.type=unix,remote.path={name}.host")
}

#[derive(Default)]
struct Plugged {
    arguments: Vec<String>,
    ports: u8,
}

impl Plugged {
    fn netdev(&mut self, netdev: &str) {
        self.arguments.extend(["-netdev".to_owned(), netdev.to_owned()]);
    }

    /// A root port, and the device on its bus.
    fn behind_port(&mut self, name: &str, port_options: &str, device: &str) {
        self.ports += 1;
        let slot = self.ports;
        let port = format!("pcie-root-port,id=port-{name},chassis={slot},slot={slot}{port_options}");
        self.arguments.extend(["-device".to_owned(), port, "-device".to_owned(), device.to_owned()]);
    }

    fn virtio(&mut self, index: usize, function: &Virtio) {
        let name = function.name;
        self.netdev(&match function.backend {
            Backend::Datagrams => datagrams(name),
            Backend::Tap => format!("tap,id=wire-{name},ifname={},queues=2,vhost=off,script=no,downscript=no", tap(index)),
        });
        self.behind_port(name, "", &At::Virtio(index).device());
    }

    /// Two functions that send to one another, and a wire that gives them their first frames. What they do when they are notified is done by
    /// a timer of the guest's clock, so that it is the same in every run.
    fn pair(&mut self, hub: usize, name: &str, options: &str) {
        let separator = if options.is_empty() { "" } else { "," };
        for side in 0..2 {
            let (function, end) = (format!("{name}-{side}"), format!("hub-{name}-{side}"));
            self.netdev(&format!("hubport,id={end},hubid={hub}"));
            let device = virtio_net(2 * hub + side);
            self.behind_port(
                &function,
                "",
                &format!("{device},netdev={end},bus=port-{function},{NO_ROM},ioeventfd=off,tx=timer{separator}{options}"),
            );
        }
        self.netdev(&datagrams(name));
        self.netdev(&format!("hubport,id=hub-{name},hubid={hub},netdev=wire-{name}"));
    }
}
