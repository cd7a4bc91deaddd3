use super::*;
use std::{collections::VecDeque, time::Duration};
use vfwire::{Host, Path, PoolConfig, Port, PortConfig};

/// A tester on two simulated ports that are wired to each other; frames that arrive go through `middle`.
fn tester(middle: impl FnMut(&mut Vec<Vec<u8>>) + Send + 'static) -> (Tester, Vec<vfwire::DynPort>) {
    let mut host = Host::new();
    let (mut left, mut right) = (host.open("sim:igbvf,link=w").expect("a port"), host.open("sim:igbvf,link=w").expect("a port"));
    let pool = host.pool(PoolConfig::new(4096)).expect("a pool");
    let config = PortConfig::new(&pool);
    let (mut sender, mut receiver) = (left.start(&config).expect("it starts"), right.start(&config).expect("it starts"));
    let macs = (right.info().mac, left.info().mac);
    let rx = Through { rx: receiver.rx.remove(0), middle: Box::new(middle), ready: VecDeque::new(), taken: pool.burst(32) };
    let direction = Direction { tx: sender.tx.remove(0), rx: Box::new(rx), macs };
    let mut tester = Tester::new(vec![direction], &pool, 32, 4, Duration::from_millis(500), true);
    tester.frames_of(64);
    (tester, vec![left, right])
}

/// What is done with frames on their way.
type Middle = Box<dyn FnMut(&mut Vec<Vec<u8>>) + Send>;

/// A receive queue with something between it and the wire.
struct Through {
    rx: Box<dyn RxQueue>,
    middle: Middle,
    ready: VecDeque<Vec<u8>>,
    taken: Burst,
}

impl RxQueue for Through {
    fn rx_burst(&mut self, cache: &mut BufCache, out: &mut Burst) -> usize {
        if self.rx.rx_burst(cache, &mut self.taken) > 0 {
            let mut frames: Vec<Vec<u8>> = self.taken.iter_mut().map(|frame| frame.data().to_vec()).collect();
            self.taken.clear(cache);
            (self.middle)(&mut frames);
            self.ready.extend(frames);
        }
        let before = out.len();
        while out.room() > 0 && !self.ready.is_empty() {
            let Some(mut frame) = out.push_empty(cache) else { break };
            let bytes = self.ready.pop_front().expect("it is not empty");
            frame.append(bytes.len()).expect("room").copy_from_slice(&bytes);
        }
        out.len() - before
    }

    fn path(&self) -> Path {
        self.rx.path()
    }
}

fn burst(frames: u64, middle: impl FnMut(&mut Vec<Vec<u8>>) + Send + 'static) -> TrialCounts {
    let (mut tester, _ports) = tester(middle);
    let Ok(outcome) = tester.trial(Offer::Burst { frames }, &AtomicBool::new(false)) else { panic!("nobody asked it to end") };
    assert_eq!(outcome.latency_ns.len(), outcome.counts.received, "each frame has a latency, once");
    outcome.counts
}

const FRAMES: u64 = 200;

fn clean() -> TrialCounts {
    TrialCounts { intended: FRAMES, sent: FRAMES, received: FRAMES, ..TrialCounts::default() }
}

#[test]
fn all_frames_come_back() {
    assert_eq!(burst(FRAMES, |_| {}), clean());
}

#[test]
fn what_is_lost_damaged_doubled_or_reordered_is_counted_as_that() {
    // The number of the frame is in bytes 46 to 49.
    let number = |frame: &[u8]| u32::from_be_bytes([frame[46], frame[47], frame[48], frame[49]]);
    let lost = burst(FRAMES, move |frames| frames.retain(|frame| number(frame) % 10 != 0));
    assert_eq!(lost, TrialCounts { received: FRAMES - 20, ..clean() });
    let damaged = burst(FRAMES, move |frames| frames.iter_mut().filter(|frame| number(frame) == 7).for_each(|frame| frame[50] ^= 0x10));
    assert_eq!(damaged, TrialCounts { received: FRAMES - 1, corrupted: 1, ..clean() });
    let cut = burst(FRAMES, move |frames| frames.iter_mut().filter(|frame| number(frame) == 7).for_each(|frame| frame.push(0)));
    assert_eq!(cut, TrialCounts { received: FRAMES - 1, corrupted: 1, ..clean() });
    let doubled = burst(FRAMES, move |frames| {
        let again: Vec<_> = frames.iter().filter(|frame| number(frame) < 3).cloned().collect();
        frames.extend(again);
    });
    assert_eq!((doubled.received, doubled.duplicates), (FRAMES, 3));
    let mut held = None;
    let reordered = burst(FRAMES, move |frames| {
        if let Some(at) = frames.iter().position(|frame| number(frame) == 0) {
            held = Some(frames.remove(at));
        }
        if frames.iter().any(|frame| u64::from(number(frame)) == FRAMES - 1) {
            frames.extend(held.take());
        }
    });
    assert_eq!(reordered, TrialCounts { reordered: 1, ..clean() });
}

#[test]
fn others_frames_and_those_of_earlier_trials_are_foreign() {
    let foreign = burst(FRAMES, |frames| {
        let other = vec![0; 60];
        frames.push(other);
    });
    assert!(foreign.foreign > 0 && TrialCounts { foreign: 0, ..foreign } == clean(), "{foreign:?}");
    let mut kept = Vec::new();
    let (mut tester, _ports) = tester(move |frames| {
        if kept.is_empty() {
            kept.push(frames.remove(0));
        } else if kept.len() == 1 && frames.iter().any(|frame| frame[45] == 2) {
            frames.extend(kept.iter().cloned());
            kept.push(Vec::new());
        }
    });
    let go = AtomicBool::new(false);
    let mut trial = || tester.trial(Offer::Burst { frames: FRAMES }, &go).map(|outcome| outcome.counts).ok();
    assert_eq!(trial(), Some(TrialCounts { received: FRAMES - 1, ..clean() }));
    assert_eq!(trial(), Some(TrialCounts { foreign: 1, ..clean() }), "the late one does not count for the second trial");
}

#[test]
fn a_load_is_as_many_frames_as_it_says_and_a_signal_ends_it() {
    let (mut tester, _ports) = tester(|_| {});
    let load = Offer::Load { fps: 2000, duration: Duration::from_millis(50) };
    let Ok(Outcome { counts, .. }) = tester.trial(load, &AtomicBool::new(false)) else { panic!("nobody asked it to end") };
    // On a busy machine not all of them can be sent in time, and then they are not.
    assert!(counts.intended == 100 && counts.sent > 0 && counts.sent <= 100 && counts.received == counts.sent, "{counts:?}");
    assert!(tester.trial(load, &AtomicBool::new(true)).is_err());
}

#[test]
fn frames_are_due_one_after_the_other() {
    let due = |us| frames_due(Duration::from_micros(us), 10_000.0);
    assert_eq!([due(0), due(99), due(101), due(199), due(1001)], [1, 1, 2, 2, 11]);
}

#[test]
fn headers_are_right() {
    let frame = template(1514, (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])));
    // A header with its checksum in it sums up to nothing (RFC 1071).
    assert_eq!(ip_checksum(&frame[14..34]), 0);
    assert_eq!((&frame[16..18], &frame[38..40]), (&1500_u16.to_be_bytes()[..], &1480_u16.to_be_bytes()[..]));
}
