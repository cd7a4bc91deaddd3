//! Probes of real workers, over real sockets.

use super::*;
use crate::cli::{console::Console, life::Life};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{atomic::AtomicBool, mpsc},
};
use vfwire::{
    BufCache, Burst, Host, PoolConfig, Port, PortConfig,
    forward::{Lane, Stage, Worker},
};

/// Waits for whatever a test does next, at the first burst.
struct Stuck(mpsc::Receiver<()>, mpsc::Sender<()>);

impl Stage for Stuck {
    fn process(&mut self, _burst: &mut Burst, _cache: &mut BufCache) {
        let _ = self.1.send(());
        // An error where the test has let go: then every burst passes.
        let _ = self.0.recv();
    }
}

fn get(to: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(to).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    write!(stream, "GET {path} HTTP/1.1\r\n\r\n").expect("it listens");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

#[test]
fn a_worker_that_is_stuck_is_not_alive() {
    let mut host = Host::new();
    let mut port = host.open("sim:igbvf,spoofchk=off").expect("a simulated port");
    let pool = host.pool(PoolConfig::new(2048)).expect("memory");
    let mut queues = port.start(&PortConfig::new(&pool)).expect("it starts");
    let lane = Lane::new(queues.rx.remove(0), queues.tx.remove(0), &pool, 32);
    let mut worker = Worker::new(vec![lane], &pool);
    let turns = worker.turns();
    let ((release, held), (stuck, is_stuck)) = (mpsc::channel(), mpsc::channel());
    let stop = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let mut health = Health::new(Life::since(Instant::now()).readiness(), vec![turns.clone()], begun);
    let mut life = Life::since(Instant::now());
    life.forwards(&mut Console::new());
    let listener = Listener::bind("127.0.0.1:0".parse().expect("an address")).expect("a listener");
    let address = listener.address;
    let server = listener.serve(life.readiness(), vec![turns.clone()], &[]).expect("a server");
    let thread = {
        let stop = stop.clone();
        thread::spawn(move || worker.run(&mut Stuck(held, stuck), &stop))
    };
    is_stuck.recv().expect("a frame comes");
    server.publish(Arc::new(Sample::default()));
    assert!(get(address, "/livez").starts_with("HTTP/1.1 200"), "not for long enough");

    // The same standstill by a clock that is ahead: nobody need wait for it.
    assert_eq!(health.live(1, begun), Ok(()));
    assert_eq!(health.live(2, begun + WORKER_LIMIT), Ok(()));
    assert_eq!(health.live(3, begun + WORKER_LIMIT * 2), Err("worker 0 has not polled for 10 s".to_owned()));
    assert_eq!(
        health.live(3, begun + CONTROL_LIMIT * 2).unwrap_err().split(" for").next(),
        Some("the control thread has not looked after the ports")
    );
    let start = Instant::now();
    while !get(address, "/livez").contains("worker 0 has not polled for") {
        assert!(start.elapsed() < WORKER_LIMIT * 6, "the server does not find it out");
        server.publish(Arc::new(Sample::default()));
        thread::sleep(Duration::from_millis(100));
    }
    drop(release);
    let start = Instant::now();
    while !get(address, "/livez").starts_with("HTTP/1.1 200") {
        assert!(start.elapsed() < WORKER_LIMIT * 6, "it polls again");
        server.publish(Arc::new(Sample::default()));
        thread::sleep(Duration::from_millis(20));
    }

    // Readiness falls while frames still pass.
    assert!(get(address, "/readyz").starts_with("HTTP/1.1 200"));
    life.ends("a test", &mut Console::new());
    assert!(get(address, "/readyz").starts_with("HTTP/1.1 503"));
    let turned = turns.read();
    let start = Instant::now();
    while turns.read() == turned {
        assert!(start.elapsed() < WORKER_LIMIT * 6, "workers have not been told to stop yet");
    }
    stop.store(true, Ordering::Relaxed);
    thread.join().expect("it ends");
}

/// The table of docs/observe.md has a row for each metric, and no other.
#[test]
fn the_documentation_has_every_metric_and_no_other() {
    let page = include_str!("../../../docs/observe.md");
    let documented: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("| `vfwire_")?.split('|').next()).collect();
    let documented: Vec<_> = documented.into_iter().map(|name| format!("vfwire_{}", name.trim().trim_end_matches('`'))).collect();
    let served: Vec<_> = page::METRICS.iter().map(page::Metric::served_name).collect();
    assert_eq!(documented, served);
    for metric in page::METRICS {
        let name = metric.served_name();
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).expect("compared above");
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        assert_eq!((cells[2], cells[3]), (metric.kind.as_str(), metric.unit.unwrap_or("")), "{row}");
        assert!(cells[5].contains(metric.help), "{row}");
    }
}
