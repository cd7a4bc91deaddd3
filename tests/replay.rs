//! Recordings of whole lives of ports, run again: against the driver of today and against the model. And recordings that say something else.

use vfwire::{
    Address, Intent, MacAddr, Pool, PoolConfig, Port, PortConfig, PortEvent, RxQueue, TxQueue,
    recording::{CallKind, Recording, What, compare_model, decode, describe, describe_model, describe_replay, encode, replay},
};
use vfwire_core::{
    bus::{BusEvent, PciFunction},
    clock::{self, SimulatedTime},
    port::Driver,
};
use vfwire_recorder::{Recorded, RecordedPort, Recorder};
use vfwire_sim::{DeviceModel, IgbvfModel, IgbvfOptions, IxgbevfModel, IxgbevfOptions, SimDevice, SimHost, TestWire};
use vfwire_spec::intel::mailbox::RSTI;

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x2a]);

/// A port of a driver on a model, and what its worker and its control thread do.
struct Bench<D: Driver, M> {
    device: SimDevice<M>,
    recorder: Recorder,
    port: Option<RecordedPort<D::Port<Recorded<vfwire_sim::SimFunction>>>>,
    pool: Pool,
    _time: SimulatedTime,
}

impl<D: Driver, M: DeviceModel> Bench<D, M> {
    fn new(address: &str, model: M) -> Self {
        let host = SimHost::new();
        let device = host.add(address, model, TestWire::new());
        let pool = Pool::new(&*host.dma(), PoolConfig::new(2048)).expect("memory");
        let stepped = host.clone();
        let time = SimulatedTime::begin(move || {
            stepped.step();
        });
        let function = device.open().expect("nobody else has it");
        let recorder = Recorder::new(address, function.id());
        let recorded = Recorded::new(function, recorder.clone());
        let port = RecordedPort::probe(recorder.clone(), D::NAME, || D::probe(recorded)).expect("a port");
        Self { device, recorder, port: Some(port), pool, _time: time }
    }

    fn port(&mut self) -> &mut impl Port {
        self.port.as_mut().expect("it is open")
    }

    /// Polls like a control thread and a worker until an event comes.
    fn await_event(&mut self, queues: &mut [(impl RxQueue, impl TxQueue)], wanted: impl Fn(&PortEvent) -> bool) {
        let (mut cache, mut burst) = (self.pool.cache(), self.pool.burst(32));
        for _ in 0..100 {
            for (rx, tx) in &mut *queues {
                rx.rx_burst(&mut cache, &mut burst);
                tx.tx_burst(&mut cache, &mut burst);
            }
            clock::pause(std::time::Duration::from_millis(100));
            self.port().stats();
            if self.port().poll_control().expect("no error").is_some_and(|event| wanted(&event)) {
                return;
            }
        }
        panic!("no such event: {}", describe(&self.recorder.recording()));
    }
}

/// Everything that the control path of a port does in its life, recorded.
fn life<D: Driver, M: DeviceModel>(address: &str, model: M, set_pf_up: fn(&mut M, bool)) -> Recording {
    let mut bench = Bench::<D, M>::new(address, model);
    let mut intent = Intent { vlans: [5, 7].into(), ..Intent::default() };
    let config = PortConfig { intent: intent.clone(), ..PortConfig::new(&bench.pool) };
    let queues = bench.port().start(&config).expect("it starts");
    let mut queues: Vec<_> = queues.rx.into_iter().zip(queues.tx).collect();
    bench.await_event(&mut queues, |event| matches!(event, PortEvent::LinkUp { .. }));
    intent.vlans.remove(&5);
    intent.multicast.insert(MacAddr([1, 0, 0x5e, 0, 0, 1]));
    intent.promiscuous = true;
    bench.port().apply(&intent).expect("what is refused is no error");
    bench.device.with(|model| set_pf_up(model, false));
    bench.await_event(&mut queues, |event| matches!(event, PortEvent::ResetStarted { .. }));
    (0..3).for_each(|_| {
        bench.port().poll_control().expect("it waits");
    });
    bench.device.with(|model| set_pf_up(model, true));
    bench.await_event(&mut queues, |event| matches!(event, PortEvent::Recovered { .. }));
    // What is said of it, or not, is the device's affair.
    let _ = bench.port().rss();
    bench.port().stop().expect("it stops");
    drop(queues);
    let config = PortConfig::new(&bench.pool);
    let again = bench.port().start(&config).expect("it starts again");
    let mut queues: Vec<_> = again.rx.into_iter().zip(again.tx).collect();
    bench.device.raise(BusEvent::RemoveRequested);
    bench.await_event(&mut queues, |event| matches!(event, PortEvent::Removed { .. }));
    bench.port = None;
    bench.recorder.recording()
}

fn igbvf_life(pf_mac: Option<MacAddr>) -> Recording {
    let options = IgbvfOptions { pf_mac, ..IgbvfOptions::default() };
    life::<vfwire_igbvf::Igbvf, _>("sim:igbvf", IgbvfModel::new(options), |model, up| model.set_pf_down(!up))
}

fn ixgbevf_life(pf_mac: Option<MacAddr>) -> Recording {
    let options = IxgbevfOptions { pf_mac, ..IxgbevfOptions::default() };
    life::<vfwire_ixgbevf::Ixgbevf, _>("sim:ixgbevf", IxgbevfModel::new(options), |model, up| model.set_pf_down(!up))
}

/// What today's driver does otherwise than recorded, as it is told; nothing where it does the same.
fn differences(recording: &Recording) -> String {
    let report = replay(recording).expect("a driver knows it");
    assert!(report.calls > 10, "{report:?}");
    if report.differences.is_empty() { String::new() } else { describe_replay(recording, &report) }
}

#[test]
fn a_life_is_lived_again() {
    for recording in [igbvf_life(Some(MAC)), igbvf_life(None), ixgbevf_life(Some(MAC)), ixgbevf_life(None)] {
        let names: Vec<_> = recording.calls.iter().map(|call| call.kind.name()).collect();
        assert!(names.starts_with(&["probe", "start"]) && names.ends_with(&["close"]), "{names:?}");
        assert_eq!(differences(&recording), "", "{}", encode(std::slice::from_ref(&recording)));
        // From a file it is the same.
        let read = decode(&encode(std::slice::from_ref(&recording))).expect("a good file");
        assert_eq!(read, [recording]);
    }
}

/// The first call of a kind with a step that is `wanted`, and that step.
fn find(recording: &Recording, kind: &str, wanted: impl Fn(&What) -> bool) -> (usize, usize) {
    let step = |at: usize| recording.calls[at].steps.iter().position(|step| wanted(&step.what));
    let calls = (0..recording.calls.len()).filter(|at| recording.calls[*at].kind.name() == kind);
    calls.filter_map(|at| Some((at, step(at)?))).next().unwrap_or_else(|| panic!("no such step in a {kind}"))
}

fn writes(offset: u32) -> impl Fn(&What) -> bool {
    move |what| matches!(what, What::Write(access) if access.offset == offset)
}

const TXDCTL: u32 = 0x3828;
const RDBAL: u32 = 0x2800;

#[test]
fn another_value_another_step_and_another_answer_are_seen() {
    let good = igbvf_life(Some(MAC));

    let mut other = good.clone();
    let (call, step) = find(&good, "start", writes(TXDCTL));
    let What::Write(access) = &mut other.calls[call].steps[step].what else { unreachable!() };
    access.value ^= 0x100;
    let report = replay(&other).expect("a driver knows it");
    let [difference] = &report.differences[..] else { panic!("{}", describe_replay(&other, &report)) };
    assert!(difference.call == call && difference.outcomes.is_none() && difference.hunks.len() == 1, "{difference:?}");
    assert_eq!(difference.hunks[0].recorded, [other.calls[call].steps[step].what.clone()]);
    assert_eq!(difference.hunks[0].today, [good.calls[call].steps[step].what.clone()]);
    let told = describe_replay(&other, &report);
    assert!(told.contains("\n  - write TXDCTL[0]") && told.contains("\n  + write TXDCTL[0]"), "{told}");

    // The driver of then did without it.
    let mut other = good.clone();
    let removed = other.calls[call].steps.remove(step);
    let report = replay(&other).expect("a driver knows it");
    let hunk = &report.differences[0].hunks[0];
    assert!(report.differences.len() == 1 && hunk.recorded.is_empty() && hunk.today == [removed.what], "{hunk:?}");

    let mut other = good.clone();
    let at = other.calls.iter().position(|call| matches!(call.kind, CallKind::Apply(_))).expect("an apply");
    if let Some(outcome) = &mut other.calls[at].outcome {
        outcome.text.push_str(" and more");
    }
    let report = replay(&other).expect("a driver knows it");
    let [difference] = &report.differences[..] else { panic!("{report:?}") };
    assert!(difference.call == at && difference.hunks.is_empty() && difference.outcomes.is_some(), "{difference:?}");
}

/// What the device answered is what the driver sees: a bit of the link is taken out, and the driver says nothing of a link.
#[test]
fn another_answer_of_the_device_leads_elsewhere() {
    let mut other = igbvf_life(Some(MAC));
    let is_status = |what: &What| matches!(what, What::Read { access, .. } if access.offset == 8);
    let (call, step) = find(&other, "poll", is_status);
    let What::Read { access, .. } = &mut other.calls[call].steps[step].what else { unreachable!() };
    access.value = 0;
    let told = differences(&other);
    assert!(told.contains("- = LinkUp { mbps: 1000 }") && told.contains("+ = ok"), "{told}");
}

#[test]
fn addresses_are_translated_and_nothing_else() {
    let mut other = igbvf_life(Some(MAC));
    let (call, step) = find(&other, "start", writes(RDBAL));
    let region = |what: &What| if let What::Dma { iova, len_bytes } = what { Some(*iova..iova + len_bytes) } else { None };
    let regions: Vec<_> = other.calls[call].steps.iter().filter_map(|step| region(&step.what)).collect();
    let What::Write(access) = &mut other.calls[call].steps[step].what else { unreachable!() };
    let low = |iova: u64| iova & u64::from(u32::MAX);
    assert!(regions.iter().any(|region| (low(region.start)..low(region.end)).contains(&access.value)), "a ring lies in recorded memory");
    access.value += 0x80;
    assert!(differences(&other).contains("- write RDBAL[0]"), "the same region, but another place in it");
}

#[test]
fn a_lost_beginning_is_said() {
    let mut other = igbvf_life(Some(MAC));
    other.calls.remove(0);
    other.calls[0].lost_before = 1;
    let report = replay(&other).expect("a driver knows it");
    assert!(report.calls == 0 && report.notes.iter().any(|note| note.contains("no port")), "{report:?}");
}

/// Words that a model read otherwise than recorded: where, and what.
fn disagreements(recording: &Recording, address: &str) -> Vec<(u32, u64, Option<u64>)> {
    let Ok(Address::Sim(address)) = address.parse() else { panic!("{address} is no simulated function") };
    let answered = compare_model(recording, Some(&address)).expect("a model");
    assert!(answered.reads > 200 && answered.notes.is_empty(), "{}", describe_model(recording, &answered));
    answered.disagreements.iter().map(|other| (other.recorded.offset, other.recorded.value, other.answered)).collect()
}

/// All but the PF's reset, which no driver asks for.
#[test]
fn the_model_answers_as_it_did() {
    for (recording, flags) in [(igbvf_life(Some(MAC)), 0xc40), (ixgbevf_life(Some(MAC)), 0x2fc)] {
        let answered = compare_model(&recording, None).expect("a model");
        let told = describe_model(&recording, &answered);
        let in_reset =
            |what: &What| matches!(what, What::Read { access, .. } if access.offset == flags && access.value & u64::from(RSTI) != 0);
        let reset = recording.calls.iter().position(|call| call.steps.iter().any(|step| in_reset(&step.what))).expect("a reset");
        assert!(answered.disagreements.iter().all(|other| other.call >= reset), "{told}");
        assert!(answered.disagreements.first().is_some_and(|other| other.recorded.offset == flags), "{told}");
        let others: u64 = answered.disagreements.iter().map(|other| other.times).sum();
        assert!(answered.reads > 200 && others < 6 && answered.notes.is_empty(), "{told}");
    }
}

#[test]
fn another_model_answers_otherwise() {
    let recording = igbvf_life(Some(MAC));
    let (status, of_1000, of_100) = (8, 0x83, Some(0x43));
    assert!(disagreements(&recording, "sim:igbvf,mac=02:00:00:00:00:2a,mbps=100").contains(&(status, of_1000, of_100)));
    let (second_byte_on, ours, other) = (0x808, 0x2a00, Some(0x2b00));
    assert!(disagreements(&recording, "sim:igbvf,mac=02:00:00:00:00:2b").contains(&(second_byte_on, ours, other)));
}

/// An 82576 VF of QEMU under Linux' igb driver: start with a VLAN and promiscuous mode, the PF taken down and up, stop. What is said of it may
/// be worded otherwise one day, so only what is done counts.
#[test]
fn the_driver_does_what_it_did_in_a_guest() {
    let recordings = decode(include_str!("data/igbvf-guest.rec")).expect("a recording");
    let [recording] = &recordings[..] else { panic!("one port") };
    let told = describe(recording);
    for words in ["→ PF  SET_MAC", "→ PF  SET_VLAN", "answer to SET_PROMISC: refused", "= ResetStarted", "= Recovered", "close"] {
        assert!(told.contains(words), "no {words:?}: {told}");
    }
    let report = replay(recording).expect("a driver knows it");
    let otherwise = report.differences.iter().any(|difference| !difference.hunks.is_empty());
    assert!(report.calls == 17 && report.notes.is_empty() && !otherwise, "{}", describe_replay(recording, &report));
}

/// A recording is somebody else's: whatever it says, there is an end and no panic.
#[test]
fn damaged_recordings_are_replayed_or_refused() {
    for recording in [igbvf_life(Some(MAC)), ixgbevf_life(None)] {
        let text = encode(&[recording]);
        let lines: Vec<_> = text.lines().collect();
        let (mut seed, mut read) = (1_u64, 0);
        let mut next = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).expect("31 bits") % below
        };
        for _ in 0..150 {
            let mut damaged: Vec<String> = lines.iter().map(ToString::to_string).collect();
            for _ in 0..=next(4) {
                let at = 2 + next(damaged.len() - 3);
                match next(4) {
                    0 => drop(damaged.remove(at)),
                    1 => damaged.insert(at, lines[2 + next(lines.len() - 3)].to_owned()),
                    2 => damaged[at] = damaged[at].replace("0x0", "0xf"),
                    _ => damaged[at] = damaged[at].replacen(|c: char| c.is_ascii_digit(), "9", 2 + next(30)),
                }
            }
            let last = damaged.len() - 1;
            damaged[last] = format!("end {}", last - 2);
            let Ok(recordings) = decode(&(damaged.join("\n") + "\n")) else { continue };
            read += recordings.len();
            for recording in &recordings {
                if let Ok(report) = replay(recording) {
                    describe_replay(recording, &report);
                }
                if let Ok(answered) = compare_model(recording, None) {
                    describe_model(recording, &answered);
                }
            }
        }
        assert!(read > 40, "most of the damage was refused: {read}");
    }
}
