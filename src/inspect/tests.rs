use super::*;
use crate::{Host, PoolConfig, Port, PortConfig};

/// A port that is opened, started, polled and closed, as people read it.
fn told(address: &str) -> String {
    let mut host = Host::new();
    let flight = host.flight_recorder();
    let mut port = host.open(address).expect("a simulated port");
    let pool = host.pool(PoolConfig::new(2048)).expect("memory");
    let queues = port.start(&PortConfig::new(&pool)).expect("it starts");
    for _ in 0..5 {
        port.poll_control().expect("it goes on");
    }
    drop((queues, port));
    let recordings = flight.recordings();
    assert_eq!(recordings.len(), 1);
    describe(&recordings[0])
}

fn expect_in_order(text: &str, words: &[&str]) {
    let mut from = 0;
    for word in words {
        from += text[from..].find(word).unwrap_or_else(|| panic!("no {word:?} after byte {from}:\n{text}"));
    }
}

#[test]
fn a_gigabit_vf_is_told_in_words() {
    let text = told("sim:igbvf,mac=02:00:00:00:00:05");
    let begins = ["sim:igbvf,mac=02:00:00:00:00:05: igbvf, 8086:10ca", "probe", "BAR 0 mapped: 16384 bytes", "write CTRL  ", "0x04000000"];
    let asks = ["→ PF  RESET: Reset", "write VFMAILBOX        0x00000001  REQ", "← PF  answer to RESET: done", "words 00000002 00000500"];
    let starts = ["start: 1 queue pairs", "SET_LPE", "max_frame_bytes: 1522", "DMA memory: 8320 bytes", "write TDBAL[0]", "= Granted"];
    let ends = ["= LinkUp { mbps: 1000 }", "poll (4 times", "read  VFGPRC", "= ok", "close", "write RXDCTL[0]"];
    expect_in_order(&text, &[&begins[..], &asks[..], &starts[..], &ends[..]].concat());
}

#[test]
fn a_ten_gigabit_vf_is_told_in_words() {
    let text = told("sim:ixgbevf");
    expect_in_order(
        &text,
        &["VFCTRL", "→ PF  RESET", "→ PF  NEGOTIATE: Negotiate", "answer to NEGOTIATE", "GET_QUEUES", "VFRDBAL[0]", "close"],
    );
}

#[test]
fn every_driver_has_a_language() {
    for (driver, _) in crate::drivers() {
        assert!(crate::registry::language_of(driver).is_some(), "nobody knows what the registers of {driver} are called");
    }
}

/// Where a virtio device has its registers is in its capabilities, as far as they were read.
#[test]
fn registers_are_found_by_capabilities() {
    use vfwire_recorder::{PortName, Space, Step, What};
    use vfwire_spec::{
        pci::PciId,
        virtio::pci::{Capability, Structure},
    };
    let capability = |structure, bar, offset, next| Capability { structure, bar, id: 0, offset, len_bytes: 0x1000 }.encode(next);
    let mut config = vec![0_u8; 256];
    config[0x34] = 0x40;
    for (at, (bytes, len)) in [(0x40, capability(Structure::Common, 4, 0x1000, 0x60)), (0x60, capability(Structure::Device, 4, 0x2000, 0))]
    {
        config[at..at + len].copy_from_slice(&bytes[..len]);
    }
    let word = |space, offset, width_bytes, value| Access { space, width_bytes, offset, value };
    let read = |access| Step { at_ns: 0, what: What::Read { access, times: 1 } };
    let mut steps: Vec<_> = (0..256).map(|at| read(word(Space::Config, at, 1, config[at as usize].into()))).collect();
    for (bar, offset) in [(4, 0x1014), (4, 0x2006), (4, 0x2003), (4, 0x3000), (0, 0x1014)] {
        steps.push(read(word(Space::Bar(bar), offset, 1, 0x0f)));
    }
    let call = Call { at_ns: 0, kind: CallKind::Probe, times: 1, lost_before: 0, lost_steps: 0, steps, outcome: None };
    let port = PortName { address: "a".into(), driver: "virtio-net".into(), id: PciId { vendor: 0x1af4, device: 0x1041 } };
    let recording = Recording { port, calls: vec![call] };
    let names = ["read  CAPABILITIES_POINTER", "DEVICE_STATUS    0x0f", "net STATUS", "net MAC[3]", "bar4 0x3000", "bar0 0x1014"];
    expect_in_order(&describe(&recording), &names);
    assert!(replay(&recording).is_err_and(|error| error.to_string().contains("DMA memory")));
}

#[test]
fn what_had_to_make_room_is_told() {
    let port =
        vfwire_recorder::PortName { address: "a".into(), driver: String::new(), id: vfwire_spec::pci::PciId { vendor: 1, device: 2 } };
    let call = Call { at_ns: 1_500_000, kind: CallKind::Poll, times: 7, lost_before: 3, lost_steps: 0, steps: Vec::new(), outcome: None };
    let text = describe(&Recording { port, calls: vec![call] });
    expect_in_order(&text, &["a: no driver", "3 more calls", "… 3 calls", "0.001500 s poll (7 times", "= did not return"]);
}
