//! An ordinary user, who owns the node of the group and may lock just as much memory as is mapped.

use anyhow::{Context, Result, bail, ensure};

use super::traffic::{VF_A, swapped};
use crate::vm::devices::At;
use crate::vm::forwarder::{self, Forwarder, START_LIMIT};
use crate::vm::lab::Lab;
use crate::vm::stream::Stream;
use crate::vm::wire::{exchange, exchange_with_losses};

/// Surely too little for any port.
const LITTLE_KIB: u64 = 64;

pub(super) fn ordinary_user(lab: &mut Lab) -> Result<()> {
    let vf = lab.function(At::Pf(0));
    lab.guest.run(&format!("chown user:user /dev/vfio/{}", vf.group))?;
    let forward = forwarder::command(&[&vf], "mac-swap", &format!("--mac {}", forwarder::text(VF_A)));
    let as_user = |limit_kib: u64| format!("ulimit -l {limit_kib}; exec su user -c \"{forward}\"");

    let need_bytes = needed_bytes(&refusal(lab, &as_user(LITTLE_KIB))?)?;
    let enough_kib = need_bytes.div_ceil(1024);
    // The limit is in pages.
    let refused = refusal(lab, &as_user(enough_kib - 4))?;
    ensure!(needed_bytes(&refused)? == need_bytes, "first {need_bytes} bytes were needed, then: {refused}");

    let forwarder =
        Forwarder::start(&mut lab.guest, &as_user(enough_kib)).with_context(|| format!("with the {need_bytes} bytes asked for"))?;
    let owner = lab.guest.run("stat -c %u /proc/$(pidof vfwire | cut -d' ' -f1)")?;
    ensure!(owner.trim() == "1000", "vfwire runs as user {owner}");
    let stream = swapped(lab, 2000);
    exchange(&stream, 32, &lab.wires[0], &lab.wires[0])?;
    forwarder.stop(&mut lab.guest)?.expect_frames(0, 2000, 2000)
}

/// Normal pages only where the user asks, and said aloud.
pub(super) fn no_hugepages(lab: &mut Lab) -> Result<()> {
    lab.guest.run("echo 0 > /proc/sys/vm/nr_hugepages")?;
    let vf = lab.function(At::Pf(0));
    let options = format!("--no-hugepages --mac {}", forwarder::text(VF_A));
    let forwarder = Forwarder::start(&mut lab.guest, &forwarder::command(&[&vf], "mac-swap", &options))?;
    forwarder.0.wait_for_words(&mut lab.guest, "normal pages", START_LIMIT)?;
    let short = Stream { lengths_bytes: 60..=64, ..swapped(lab, 2000) };
    exchange(&short, 32, &lab.wires[0], &lab.wires[0])?;
    // The emulated device does not transmit from a buffer that goes on in a page elsewhere in memory, and says nothing. Buffers start at
    // multiples of 64 bytes, so that the frames above lay in one page each; of longer ones some may be lost, but none may be damaged.
    let long = swapped(lab, 200);
    let came = exchange_with_losses(&long, &lab.wires[0], &lab.wires[0])?;
    ensure!(came >= 100, "only {came} of 200 frames came back");
    forwarder.stop(&mut lab.guest).map(drop)
}

/// What the command says when it does not start.
fn refusal(lab: &mut Lab, command: &str) -> Result<String> {
    let ended = lab.guest.start(command)?.wait(&mut lab.guest, START_LIMIT)?;
    ensure!(ended.code == 1, "exit code {} instead of 1 with too little locked memory: {}", ended.code, ended.stderr);
    for words in ["locked memory", "limit", "ulimit -l"] {
        ensure!(ended.stderr.contains(words), "the error does not say {words:?}: {}", ended.stderr);
    }
    Ok(ended.stderr)
}

/// The first count of bytes that an error names.
fn needed_bytes(error: &str) -> Result<u64> {
    let words: Vec<_> = error.split_whitespace().collect();
    let counts = words.windows(2).filter(|pair| pair[1].starts_with("bytes")).filter_map(|pair| pair[0].parse().ok());
    match counts.into_iter().next() {
        Some(bytes) => Ok(bytes),
        None => bail!("the error does not name the bytes needed: {error}"),
    }
}
