//! An application that does with a port what the script says, in any order that the types allow.
//!
//! When it ends, everything is dropped in an order that the script picks, and then every buffer is home and every region unmapped: unless
//! the bus refused to reset the function, since what a device may still write is never freed.

use crate::{
    device::{FuzzFunction, Will},
    input::Input,
    ledger::Ledger,
    memory::Regions,
    subject::Subject,
};
use std::{sync::Arc, time::Duration};
use vfwire_core::{
    burst::Burst,
    bus::{BusEvent, PciFunction},
    clock::{self, SimulatedTime},
    event::PortEvent,
    meta::{L4, TxOffload},
    packet::Packet,
    path::Path,
    pool::{BufCache, Pool, PoolConfig},
    port::{Driver, Intent, Port, PortConfig, Queues},
    queue::{RxQueue, TxQueue},
};
use vfwire_sim::{SimDevice, SimHost, TestWire};
use vfwire_spec::net::MacAddr;

/// Most steps of a script: a run ends.
const STEPS_MAX: usize = 200;
/// Between two looks, as far as the driver's waits are shortened for a fuzzer (a hundredth).
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Most looks at a port in one step.
const LOOKS_MAX: usize = 8;

type PortOf<S> = <<S as Subject>::Driver as Driver>::Port<FuzzFunction>;
type RxOf<S> = <PortOf<S> as Port>::Rx;
type TxOf<S> = <PortOf<S> as Port>::Tx;

/// One run: a whole life of a port on the device that `bytes` are.
pub fn run<S: Subject>(bytes: &[u8]) {
    let input = Input::new(bytes);
    let host = SimHost::new();
    let wire = TestWire::new();
    let ids = S::Driver::IDS;
    let device = host.add("fuzz:0", S::model(input.byte()), wire.clone());
    let regions = Regions::default();
    let step = Arc::new({
        let device = device.clone();
        move || {
            device.step();
        }
    });
    // Time passes while the driver waits, and its device works meanwhile.
    let _time = SimulatedTime::begin({
        let device = device.clone();
        move || _ = device.step()
    });
    let will = Will::new(input.clone(), regions.clone(), step);
    let id = ids[usize::from(input.byte()) % ids.len()];
    let function = FuzzFunction::new(device.open().expect("a device that nobody has opened"), id, will.clone());
    let dma = function.dma();
    let buffers = 48 + u32::from(input.byte());
    let config = PoolConfig { buffers, data_bytes: [2048, 1024, 4096, 16384][usize::from(input.byte() & 3)] };
    let pool = Pool::new(&*dma, config).expect("a small pool");
    if let Ok(port) = S::Driver::probe(function) {
        let cache = pool.cache();
        let burst = pool.burst(usize::from(input.byte()));
        let mut life = Life::<S> {
            input,
            device,
            wire,
            regions: regions.clone(),
            will: will.clone(),
            port: Some(port),
            rx: Vec::new(),
            tx: Vec::new(),
            pool: pool.clone(),
            cache,
            burst,
            kept: Vec::new(),
            ledger: Ledger::default(),
        };
        life.begin();
        life.live();
        life.end();
    }
    if !will.reset_failed() {
        assert_eq!(pool.free_buffers(), buffers as usize, "buffers that are not home");
        drop(pool);
        assert_eq!(regions.count(), 0, "DMA regions that are still mapped");
    }
}

struct Life<S: Subject> {
    input: Input,
    device: SimDevice<S::Model>,
    wire: TestWire,
    regions: Regions,
    will: Will,
    port: Option<PortOf<S>>,
    rx: Vec<RxOf<S>>,
    tx: Vec<TxOf<S>>,
    pool: Pool,
    cache: BufCache,
    burst: Burst,
    kept: Vec<Packet>,
    ledger: Ledger,
}

impl<S: Subject> Life<S> {
    /// An ordinary start, so that little input is needed to get to traffic.
    fn begin(&mut self) {
        self.start();
        self.look_after();
    }

    fn live(&mut self) {
        for _ in 0..STEPS_MAX {
            let Some([step]) = self.input.script() else { break };
            match step % 26 {
                0 => self.arrive(),
                1..=3 => self.receive(),
                4 | 5 => self.send(),
                6 => self.reclaim(),
                7 | 8 => self.look_after(),
                9 => self.apply(),
                10 => self.count(),
                11 => self.stop(),
                12 => self.start(),
                13 | 14 => _ = self.device.step(),
                15 => self.scribble(),
                16 => self.write_back(),
                17 => self.act(),
                18 => self.drop_a_queue(),
                19 => self.keep(),
                20 => self.change(),
                21 => self.compose(),
                22 => self.bus(),
                23 => self.ask(),
                24 => self.burst.clear(&mut self.cache),
                _ => self.forward(),
            }
        }
    }

    fn start(&mut self) {
        let [shape, sizes] = self.input.script().unwrap_or_default();
        let paths = Path::all();
        let desc = |bits: u8| match bits & 7 {
            0..=3 => 32,
            4 => 64,
            5 => 128,
            6 => self.input.half(),
            _ => 48,
        };
        let Some(port) = &mut self.port else { return };
        let config = PortConfig {
            queue_pairs: match shape >> 6 {
                0 | 1 => 1,
                2 => port.info().max_queue_pairs,
                _ => self.input.half() & 15,
            },
            rx_desc: desc(sizes),
            tx_desc: desc(sizes >> 3),
            path: Some(paths[usize::from(shape) % paths.len()]),
            intent: intent(&self.input),
            recovery_limit: Duration::from_millis(self.input.byte().into()),
            ..PortConfig::new(&self.pool)
        };
        let Ok(Queues { rx, tx, .. }) = port.start(&config) else { return };
        assert_eq!((rx.len(), tx.len()), (config.queue_pairs.into(), config.queue_pairs.into()));
        self.ledger.stopped();
        // Now and then queues of the start before are still there.
        if sizes & 64 == 0 {
            self.rx.clear();
            self.tx.clear();
        }
        self.rx.extend(rx);
        self.tx.extend(tx);
    }

    fn stop(&mut self) {
        if let Some(port) = &mut self.port {
            let stopped = port.stop();
            assert!(stopped.is_ok() || self.will.reset_failed(), "{stopped:?}");
            self.ledger.stopped();
        }
        if self.input.byte() & 1 == 0 {
            self.poll();
        }
    }

    /// Every queue once, as a worker does whose port was stopped.
    fn poll(&mut self) {
        for index in 0..self.rx.len() {
            self.receive_on(index);
        }
        for tx in &mut self.tx {
            tx.reclaim(&mut self.cache);
        }
    }

    fn arrive(&mut self) {
        let [count, kind] = self.input.script().unwrap_or_default();
        let len_bytes = if kind & 64 == 0 { 60 + usize::from(kind & 63) } else { usize::from(self.input.half() % 9100) };
        let to = self.port.as_ref().map_or(MacAddr([0xff; 6]), |port| port.info().mac);
        let mut frame = vec![kind; len_bytes];
        let header = [to.0, [2, 0, 0, 0, 0, 9]];
        let headed = header.as_flattened().len().min(frame.len());
        frame[..headed].copy_from_slice(&header.as_flattened()[..headed]);
        // What follows the addresses decides how the device sees the frame: EtherType, VLAN tag, IP header.
        for at in 12..len_bytes.min(12 + usize::from(kind >> 7) * 44) {
            frame[at] = self.input.byte();
        }
        for _ in 0..count % 48 {
            self.wire.push(frame.clone());
        }
        self.device.step();
    }

    fn receive(&mut self) {
        if let Some(index) = usize::from(self.input.byte()).checked_rem(self.rx.len()) {
            self.receive_on(index);
        }
    }

    fn receive_on(&mut self, index: usize) {
        let before = self.burst.len();
        let said = self.rx[index].rx_burst(&mut self.cache, &mut self.burst);
        self.ledger.receive(&mut self.burst, before, said, &self.pool);
    }

    fn send(&mut self) {
        let Some(index) = usize::from(self.input.byte()).checked_rem(self.tx.len()) else { return };
        let before = self.burst.len();
        let said = self.tx[index].tx_burst(&mut self.cache, &mut self.burst);
        self.ledger.send(said, before, &self.burst);
        while self.wire.pop().is_some() {}
    }

    fn reclaim(&mut self) {
        for tx in &mut self.tx {
            let in_flight = tx.in_flight();
            let freed = tx.reclaim(&mut self.cache);
            assert!(freed <= in_flight, "{freed} of {in_flight} descriptors became free");
        }
    }

    fn forward(&mut self) {
        self.device.step();
        self.receive();
        self.send();
        self.device.step();
    }

    fn look_after(&mut self) {
        let Some(port) = &mut self.port else { return };
        clock::pause(LOOK_EVERY);
        for _ in 0..LOOKS_MAX {
            match port.poll_control() {
                Ok(Some(event)) => {
                    self.ledger.event(&event);
                    // A recovery waits for the queues, which workers poll all the time.
                    if matches!(event, PortEvent::ResetStarted { .. }) {
                        break;
                    }
                }
                Ok(None) | Err(_) => break,
            }
        }
        if self.input.byte() & 3 != 3 {
            self.poll();
        }
    }

    fn apply(&mut self) {
        let intent = intent(&self.input);
        if let Some(port) = &mut self.port {
            let _ = port.apply(&intent);
        }
    }

    fn count(&mut self) {
        if let Some(port) = &mut self.port {
            self.ledger.count(port.stats());
        }
    }

    fn scribble(&mut self) {
        let [region, len_bytes] = self.input.script().unwrap_or_default();
        let offset = usize::from(self.input.half());
        let bytes: Vec<u8> = (0..len_bytes & 31).map(|_| self.input.byte()).collect();
        self.regions.write(region.into(), offset, &bytes);
    }

    fn write_back(&mut self) {
        let [region, first, count, bits] = self.input.script().unwrap_or_default();
        let mut words = [self.input.double(), self.input.double()];
        // Done, and the end of its frame: what nearly every write-back has (82576 datasheet, 7.1.5.2).
        words[1] |= u64::from(bits & 3);
        self.regions.write_back(region.into(), first.into(), count.into(), words);
    }

    fn act(&mut self) {
        let what = self.input.byte();
        let words = [self.input.double(), self.input.double()];
        self.device.with(|model| S::act(model, what, words));
    }

    fn drop_a_queue(&mut self) {
        let choice = usize::from(self.input.byte());
        if choice & 1 == 0 {
            let _ = self.rx.pop();
        } else {
            let _ = self.tx.pop();
        }
    }

    /// Takes a frame out of the burst, to outlive what it came from, or puts one back.
    fn keep(&mut self) {
        let choice = usize::from(self.input.byte());
        if choice & 1 == 0
            && let Some(index) = (choice >> 1).checked_rem(self.burst.len())
        {
            self.kept.push(self.burst.swap_take(index));
        } else if let Some(packet) = self.kept.pop()
            && let Err(packet) = self.burst.push(packet)
        {
            self.kept.push(packet);
        }
    }

    /// Changes a frame in every way that there is.
    fn change(&mut self) {
        let [index, how] = self.input.script().unwrap_or_default();
        let amount = usize::from(self.input.half());
        let segment = self.kept.pop_if(|_| how & 7 == 7);
        let Some(index) = usize::from(index).checked_rem(self.burst.len()) else { return };
        if let Some(segment) = segment {
            self.burst.append_segment(index, segment);
            return;
        }
        let Some(mut frame) = self.burst.get_mut(index) else { return };
        match how & 7 {
            0 => frame.truncate(amount),
            1 => _ = frame.trim_front(amount),
            2 => _ = frame.prepend(amount & 255).map(|bytes| bytes.fill(1)),
            3 => _ = frame.append(amount).map(|bytes| bytes.fill(2)),
            4 => frame.data_mut().fill(how),
            _ => frame.offload(offload(&self.input)),
        }
    }

    fn compose(&mut self) {
        let [count, kind] = self.input.script().unwrap_or_default();
        for _ in 0..count & 31 {
            let Some(mut frame) = self.burst.push_empty(&mut self.cache) else { return };
            if let Some(bytes) = frame.append(usize::from(kind) * 8) {
                bytes.fill(kind);
            }
        }
    }

    fn bus(&mut self) {
        match self.input.byte() & 15 {
            0 => self.device.raise(BusEvent::RemoveRequested),
            1 => self.device.raise(BusEvent::Error),
            2 => self.will.set_gone(true),
            3 => self.will.set_gone(false),
            _ => self.will_work(),
        }
    }

    /// The device gets its work done.
    fn will_work(&self) {
        for _ in 0..3 {
            self.device.step();
        }
    }

    fn ask(&mut self) {
        if let Some(port) = &mut self.port {
            let _ = port.rss();
            std::hint::black_box((port.link(), port.info().clone()));
        }
    }

    /// Drops everything, in an order that the script picks.
    fn end(mut self) {
        self.count();
        let order = self.input.byte();
        if order & 1 == 0 {
            self.stop();
        }
        if order & 2 == 0 {
            self.port = None;
        }
        if order & 4 == 0 {
            self.poll();
        }
        if order & 8 == 0 {
            self.kept.clear();
            self.burst.clear(&mut self.cache);
        }
        self.rx.clear();
        self.tx.clear();
    }
}

fn intent(input: &Input) -> Intent {
    let [what, how] = input.script().unwrap_or_default();
    let mac = |first: u8| MacAddr([first, 0, 0, 0, how, input.byte()]);
    let mut intent = Intent { all_multicast: what & 8 != 0, promiscuous: what & 16 != 0, ..Intent::default() };
    if what & 1 != 0 {
        intent.mac = Some(mac(how & 3));
    }
    if what & 2 != 0 {
        intent.mtu_bytes = if how & 1 == 0 { 9000 } else { input.half() };
    }
    if what & 4 != 0 {
        intent.vlans.extend((0..how & 7).map(|_| input.half() & 0xfff));
    }
    if what & 32 != 0 {
        intent.multicast.extend((0..how & 63).map(|number| MacAddr([1, 0, 0x5e, 0, number, what])));
    }
    intent
}

fn offload(input: &Input) -> TxOffload {
    let [what, l2, l4, kind] = input.script().unwrap_or_default();
    let (l3, mss) = (input.half(), input.half());
    let mut asked = TxOffload::default();
    if what & 1 != 0 {
        asked = asked.ipv4_checksum(l2, l3);
    }
    if what & 2 != 0 {
        asked = asked.l4_checksum([L4::Tcp, L4::Udp, L4::Sctp][usize::from(kind % 3)], what & 4 != 0, l2, l3);
    }
    if what & 8 != 0 {
        asked = asked.vlan(mss);
    }
    if what & 16 != 0 {
        asked = asked.segment(l4, mss);
    }
    asked
}
