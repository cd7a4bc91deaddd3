use super::*;
use std::collections::VecDeque;
use vfwire::{BufCache, Burst, Host, Path, PoolConfig, Port, PortConfig};

/// What is done with frames on their way.
type Middle = Box<dyn FnMut(&mut Vec<Vec<u8>>) + Send>;

/// A tester on two simulated ports that are wired to each other, both ways; what goes from the first to the second passes `middle`.
fn tester(middle: impl FnMut(&mut Vec<Vec<u8>>) + Send + 'static) -> (Tester, Vec<vfwire::DynPort>) {
    let mut host = Host::new();
    let mut ports: Vec<_> = (0..2).map(|_| host.open("sim:igbvf,link=w").expect("a port")).collect();
    let pool = host.pool(PoolConfig::new(4096)).expect("a pool");
    let mut started: Vec<_> = ports.iter_mut().map(|port| port.start(&PortConfig::new(&pool)).expect("it starts")).collect();
    let macs = [ports[0].info().mac, ports[1].info().mac];
    let (there, back) = (started[1].rx.remove(0), started[0].rx.remove(0));
    let there = Box::new(Through { rx: there, middle: Box::new(middle), ready: VecDeque::new(), taken: pool.burst(32) });
    let directions = vec![
        Direction { tx: started[0].tx.remove(0), rx: there, macs: (macs[1], macs[0]) },
        Direction { tx: started[1].tx.remove(0), rx: back, macs: (macs[0], macs[1]) },
    ];
    let tester = Tester::new(directions, &pool, (32, 4), true);
    let Ok(mut tester) = tester else { panic!("a tester") };
    assert!(tester.frames_of(128).is_ok());
    (tester, ports)
}

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

/// Few enough for a ring: none is lost by itself.
const FRAMES: u64 = 200;

fn burst(middle: impl FnMut(&mut Vec<Vec<u8>>) + Send + 'static) -> TrialCounts {
    let (mut tester, _ports) = tester(middle);
    let Ok(outcome) = tester.trial(Offer::Burst { frames: FRAMES }, &AtomicBool::new(false)) else { panic!("nobody asked it to end") };
    assert_eq!(outcome.latency_ns.len(), outcome.counts.received, "each frame of either direction has a latency, once");
    assert!(outcome.longest_gap_ns > 0 && outcome.sending > Duration::ZERO);
    outcome.counts
}

/// Both directions, nothing amiss.
fn clean() -> TrialCounts {
    TrialCounts { intended: 2 * FRAMES, sent: 2 * FRAMES, received: 2 * FRAMES, ..TrialCounts::default() }
}

#[test]
fn both_directions_are_counted_together() {
    assert_eq!(burst(|_| {}), clean());
}

#[test]
fn what_is_lost_damaged_doubled_or_foreign_has_its_place_in_the_result() {
    let (mut lost, mut damaged, mut doubled, mut foreign) = (true, true, true, true);
    assert_eq!(burst(move |frames| frames.truncate(frames.len() - usize::from(std::mem::take(&mut lost)))).received, clean().received - 1);
    let counts = burst(move |frames| frames[0][100] ^= u8::from(std::mem::take(&mut damaged)));
    assert_eq!(counts, TrialCounts { received: clean().received - 1, corrupted: 1, ..clean() });
    let counts = burst(move |frames| {
        let again = std::mem::take(&mut doubled).then(|| frames[0].clone());
        frames.extend(again);
    });
    assert_eq!(counts, TrialCounts { duplicates: 1, ..clean() });
    let counts = burst(move |frames| frames.extend(std::mem::take(&mut foreign).then(|| vec![0; 60])));
    assert_eq!(counts, TrialCounts { foreign: 1, ..clean() });
}

#[test]
fn flows_differ_in_their_source_port() {
    let (seen, ports) = std::sync::mpsc::channel();
    // Without options, the UDP header is behind 14 and 20 bytes.
    burst(move |frames| frames.iter().for_each(|frame| _ = seen.send(u16::from_be_bytes([frame[34], frame[35]]))));
    let ports: std::collections::BTreeSet<u16> = ports.try_iter().collect();
    assert_eq!(ports.into_iter().collect::<Vec<_>>(), [49_152, 49_153, 49_154, 49_155]);
}

#[test]
fn a_load_is_as_many_frames_as_it_says_and_a_signal_ends_it() {
    let (mut tester, _ports) = tester(|_| {});
    let load = Offer::Load { fps: 2000, duration: Duration::from_millis(50) };
    let Ok(Outcome { counts, .. }) = tester.trial(load, &AtomicBool::new(false)) else { panic!("nobody asked it to end") };
    // On a busy machine not all of them can be sent in time, and then they are not.
    assert!(counts.intended == 200 && counts.sent > 0 && counts.sent <= 200 && counts.received == counts.sent, "{counts:?}");
    assert!(matches!(tester.trial(load, &AtomicBool::new(true)), Err(Ended::Interrupted)));
}
