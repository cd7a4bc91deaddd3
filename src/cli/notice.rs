//! The first line: what runs here, and what the PF must allow for it to work.

use super::options::Options;
use vfwire::{Address, Sysfs, network_function};

/// The first line of `vfwire forward`.
pub(super) fn first_line(options: &Options) -> String {
    let mode = options.modes.mode.name();
    match (options.modes.mode.spoofs(), options.ports()) {
        (_, []) => format!(
            "simulated: no --port was given and this is no pod, so two simulated 82576 VFs run in mode {mode} with a traffic source each, with spoofchk off"
        ),
        (None, [Address::Sim(_), ..]) => format!("simulated: mode {mode}"),
        (None, _) => format!("mode {mode}"),
        (Some(what), [Address::Sim(_), ..]) => {
            format!("simulated: mode {mode} {what}, and a simulated PF drops those too, unless the port's address has spoofchk=off")
        }
        (Some(what), ports) => {
            let remedies: Vec<_> = ports.iter().filter_map(remedy).collect();
            format!("mode {mode} {what}: the PF drops those silently unless spoofchk is off ({})", remedies.join("; "))
        }
    }
}

/// The command that the PF's administrator runs, as precise as this machine's files allow: a container may not see the PF.
pub(super) fn remedy(port: &Address) -> Option<String> {
    let Address::Pci(address) = port else { return None };
    let find = |wanted| network_function(&Sysfs::default(), wanted);
    let (pf, index) = find(*address).and_then(|function| function.vf_of).map_or((None, None), |(pf, index)| (find(pf), index));
    let interface = pf.as_ref().and_then(|pf| pf.interfaces.first()).map_or("PF", String::as_str);
    let index = index.map_or("N".to_owned(), |index| index.to_string());
    Some(format!("`ip link set {interface} vf {index} spoofchk off`"))
}
