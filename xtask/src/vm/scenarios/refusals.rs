//! Bad input on a real kernel: an error that says what to do, the right exit code, and nothing left behind.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::vm::devices::At;
use crate::vm::forwarder::{self, Forwarder, START_LIMIT};
use crate::vm::guest::Exit;
use crate::vm::lab::Lab;

/// Exit codes of the command.
const USAGE: i32 = 2;
const FAILED: i32 = 1;

/// One thing that cannot work.
struct Case {
    what: &'static str,
    /// Brings it about.
    before: String,
    command: String,
    code: i32,
    /// What the error must say.
    words: Vec<String>,
}

pub(super) fn bad_input(lab: &mut Lab) -> Result<()> {
    for case in cases(lab) {
        refused(lab, &case).with_context(|| case.what)?;
        lab.guest.run("sh /vm/baseline.sh")?;
        opens(lab).with_context(|| format!("{}: the VF cannot be opened afterwards", case.what))?;
    }
    Ok(())
}

/// `vfwire list`: which functions can be driven, and why the others cannot.
pub(super) fn list(lab: &mut Lab) -> Result<()> {
    let vf = lab.function(At::Pf(0)).address;
    let [other, not_viable] = [&lab.pfs[0][1], &lab.pfs[2][0]].map(|vf| vf.address.clone());
    lab.guest.run(&format!("bind {other} igbvf"))?;
    let listed: Value = serde_json::from_str(&lab.guest.run("vfwire list --json")?)?;
    let functions = listed.as_array().context("the list is not an array")?;
    let find = |address: &str| {
        functions.iter().find(|function| function["address"] == address).with_context(|| format!("{address} is not listed"))
    };
    ensure!(functions.len() == 9, "three PFs with two VFs each are not {} functions", functions.len());
    let usable = find(&vf)?;
    ensure!(usable["usable"] == true && usable["driver"] == "igbvf" && usable["vf_index"] == 0, "{usable}");
    for (address, words) in [(&other, "vfio-pci"), (&not_viable, "not viable")] {
        let function = find(address)?;
        ensure!(function["usable"] == false && function["why_not"].as_str().is_some_and(|why| why.contains(words)), "{function}");
    }
    Ok(())
}

fn cases(lab: &Lab) -> Vec<Case> {
    let [vf, other, not_viable] = [&lab.pfs[0][0], &lab.pfs[0][1], &lab.pfs[2][0]];
    let forward = |address: &str, options: &str| format!("vfwire forward --port {address} --mode io --duration 2s {options}");
    let case = |what, before: &str, command, code, words: &[&str]| Case {
        what,
        before: before.to_owned(),
        command,
        code,
        words: words.iter().map(|word| (*word).to_owned()).collect(),
    };
    let (address, node) = (vf.address.as_str(), format!("/dev/vfio/{}", vf.group));
    let pf_down = format!("ip link set {} down; sleep 1", vf.pf);
    let occupy = format!("({}) > /dev/null 2> /tmp/first & wait_for 10 grep -q forwarding /tmp/first", forwarder::command(&[vf], "io", ""));
    vec![
        case("not an address", ":", forward("eth0", ""), USAGE, &["eth0"]),
        case("no such function", ":", forward("0000:7f:00.0", ""), FAILED, &["0000:7f:00.0", "vfwire list"]),
        case("bound to igbvf", &format!("bind {} igbvf", other.address), forward(&other.address, ""), FAILED, &["igbvf", "vfio-pci"]),
        case("no permission", ":", format!("su user -c '{}'", forward(address, "")), FAILED, &["permission", &node]),
        case(
            "no VFIO",
            ":",
            format!("unshare -m sh -c 'mount -t tmpfs none /dev/vfio; {}'", forward(address, "")),
            FAILED,
            &["modprobe vfio-pci"],
        ),
        case("no hugepages", "echo 0 > /proc/sys/vm/nr_hugepages", forward(address, ""), FAILED, &["hugepages", "--no-hugepages"]),
        case("PF down", &pf_down, forward(address, ""), FAILED, &[address, "PF"]),
        case("the same port twice", ":", forward(address, &format!("--port {address}")), USAGE, &[address]),
        case("group not viable", ":", forward(&not_viable.address, ""), FAILED, &["not viable", "0000:03:00.0"]),
        case("in use", &occupy, forward(address, ""), FAILED, &[address, "in use"]),
        case("burst of 0", ":", forward(address, "--burst 0"), USAGE, &["burst"]),
        case("burst of 100000", ":", forward(address, "--burst 100000"), USAGE, &["burst"]),
        case("unknown mode", ":", forward(address, "--mode sideways"), USAGE, &["mode"]),
    ]
}

fn refused(lab: &mut Lab, case: &Case) -> Result<()> {
    lab.guest.run(&case.before)?;
    let Exit { code, output } = lab.guest.exit_of(&case.command, START_LIMIT)?;
    ensure!(code == case.code, "exit code {code} instead of {}: {output}", case.code);
    for words in &case.words {
        ensure!(output.contains(words), "the error does not say {words:?}: {output}");
    }
    // The argument parser adds a hint about --help to usage errors.
    ensure!(code == USAGE || output.trim().lines().count() <= 2, "more than two lines: {output}");
    Ok(())
}

/// The VF starts and stops as if nothing had been.
fn opens(lab: &mut Lab) -> Result<()> {
    let vf = lab.function(At::Pf(0));
    let forwarder = Forwarder::start(&mut lab.guest, &forwarder::command(&[&vf], "io", ""))?;
    forwarder.stop(&mut lab.guest).map(drop)
}
