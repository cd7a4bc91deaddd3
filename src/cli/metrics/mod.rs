//! `--metrics`: OpenMetrics over HTTP, and the probes `/livez` and `/readyz`.
//!
//! A thread of its own serves them, away from the polling CPUs where there are others. What it tells of ports comes from the control
//! thread, which publishes a [`Sample`] a few times a second; what it tells of workers' lives it reads itself. It takes part in nothing: a
//! command whose server is busy forwards as one without.

mod health;
mod http;
mod page;
#[cfg(test)]
mod tests;

use super::{Failure, life::Readiness, sample::Sample};
use health::Health;
#[cfg(test)]
use health::{CONTROL_LIMIT, WORKER_LIMIT};
use http::{Answer, Connection, METHODS, Request};
use page::{Facts, Format, page};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    fd::OwnedFd,
    io::Errno,
    net::{SocketFlags, accept_with},
    thread::{CpuSet, sched_setaffinity},
};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};
use vfwire::forward::TurnsReader;

/// Most clients at a time; more wait until one is served.
const CLIENTS: usize = 16;
/// How long to wait where a client cannot be taken in.
const CLIENTS_PAUSE: Duration = Duration::from_millis(100);
/// How often workers are looked at where nobody asks.
const PULSE: Duration = Duration::from_secs(1);
/// How long a command that ends waits for clients that have connected and have no answer yet.
const GRACE: Duration = Duration::from_millis(200);

/// A listener that nobody serves yet.
pub(super) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens at this address, port 0 for any that is free.
    pub(super) fn bind(address: SocketAddr) -> Result<Self, Failure> {
        let listener = TcpListener::bind(address).map_err(|error| refusal(address, &error))?;
        listener
            .set_nonblocking(true)
            .and_then(|()| listener.local_addr())
            .map_or_else(|error| Err(refusal(address, &error)), |address| Ok(Self { listener, address }))
    }

    /// What to say of it: where it is, and who can reach it.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = vec![format!("metrics on http://{}/metrics", self.address)];
        if !self.address.ip().is_loopback() {
            notes.push(format!(
                "warning: whoever reaches {} can read the metrics, which name ports and addresses: nothing is encrypted, and nobody is asked who they are",
                self.address
            ));
        }
        notes
    }

    /// Serves until the server is dropped. `away_from` are the CPUs that workers poll on.
    pub(super) fn serve(self, readiness: Readiness, workers: Vec<TurnsReader>, away_from: &[usize]) -> Result<Server, Failure> {
        let failed = |error: &dyn std::error::Error| Failure::failed(format!("--metrics: no thread to serve them: {error}"));
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|error| failed(&error))?;
        let woken = wake.try_clone().map_err(|error| failed(&error))?;
        let published = Arc::new(Published::default());
        let desk = Desk {
            health: Health::new(readiness, workers, Instant::now()),
            published: published.clone(),
            started_s: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()),
        };
        let cpus = others(away_from);
        let (up, is_up) = std::sync::mpsc::channel();
        let run = move || {
            if let Some(cpus) = cpus {
                // Where it is refused the scheduler decides, which is what it does for the control thread as well.
                let _ = sched_setaffinity(None, &cpus);
            }
            let _ = up.send(());
            drop(up);
            run(&self.listener, &woken, desk);
        };
        let thread = thread::Builder::new().name("vfwire-metrics".to_owned()).spawn(run).map_err(|error| failed(&error))?;
        // A thread that begins asks the system for what the sandbox refuses.
        let _ = is_up.recv();
        Ok(Server { published, wake, thread: Some(thread) })
    }
}

fn refusal(address: SocketAddr, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::AddrInUse => Failure::failed(format!(
            "--metrics {address}: another process listens there: name another port, or port 0 for any that is free"
        )),
        io::ErrorKind::AddrNotAvailable => Failure::usage(format!(
            "--metrics {address}: this is no address of this machine or pod: 127.0.0.1 is, and 0.0.0.0 means all of them"
        )),
        io::ErrorKind::PermissionDenied => {
            Failure::failed(format!("--metrics {address}: {error}: ports below 1024 need a privilege: name a higher one"))
        }
        _ => Failure::failed(format!("--metrics {address}: {error}")),
    }
}

/// This process's CPUs without `polling`; nothing where none would be left, or none is to be left out.
fn others(polling: &[usize]) -> Option<CpuSet> {
    let ours = core_affinity::get_core_ids().unwrap_or_default();
    let others: Vec<_> = ours.into_iter().map(|core| core.id).filter(|cpu| !polling.contains(cpu)).collect();
    let mut set = CpuSet::new();
    others.iter().filter(|cpu| **cpu < CpuSet::MAX_CPU).for_each(|cpu| set.set(*cpu));
    (!polling.is_empty() && !others.is_empty()).then_some(set)
}

/// What the control thread publishes.
#[derive(Debug, Default)]
struct Published {
    sample: Mutex<Arc<Sample>>,
    rounds: AtomicU64,
}

impl Published {
    /// A panic elsewhere leaves the last sample.
    fn sample(&self) -> MutexGuard<'_, Arc<Sample>> {
        self.sample.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server that runs.
pub(super) struct Server {
    published: Arc<Published>,
    wake: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// From now on this is how things are.
    pub(super) fn publish(&self, sample: Arc<Sample>) {
        *self.published.sample() = sample;
        self.published.rounds.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Server {
    /// Whoever has connected gets an answer, if they ask soon.
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Makes answers.
struct Desk {
    health: Health,
    published: Arc<Published>,
    started_s: f64,
}

impl Desk {
    fn live(&mut self) -> Result<(), String> {
        let rounds = self.published.rounds.load(Ordering::Relaxed);
        self.health.live(rounds, Instant::now())
    }

    fn answer(&mut self, request: &Request) -> Answer {
        if request.method != "GET" && request.method != "HEAD" {
            return Answer::line(405, &format!("only {METHODS} are answered"));
        }
        let sample = self.published.sample().clone();
        let probe = |state: Result<(), String>| match state {
            Ok(()) => Answer::line(200, "ok"),
            Err(reason) => Answer::line(503, &reason),
        };
        match &*request.path {
            "/livez" => probe(self.live()),
            "/readyz" => probe(self.health.ready(&sample)),
            "/metrics" => {
                let format = Format::wanted(request.accept.as_deref());
                let facts = Facts { ready: self.health.is_ready(&sample), sample, started_s: self.started_s };
                match page(facts, format) {
                    Ok(body) => Answer { status: 200, content_type: format.content_type(), body },
                    Err(error) => Answer::line(503, &format!("no page: {error}")),
                }
            }
            _ => Answer::line(404, "here are /metrics, /livez and /readyz"),
        }
    }
}

/// Serves until woken, and then for [`GRACE`] those who have connected before.
fn run(listener: &TcpListener, wake: &OwnedFd, mut desk: Desk) {
    let mut clients: Vec<Connection> = Vec::new();
    let mut end: Option<Instant> = None;
    loop {
        let now = Instant::now();
        clients.retain_mut(|client| {
            if now >= client.until() {
                client.expire();
            }
            !client.is_over()
        });
        if let Some(end) = end
            && (now >= end || !clients.iter().any(Connection::is_unanswered))
        {
            return;
        }
        let next = clients.iter().map(Connection::until).chain(end).min();
        let time = next.map_or(PULSE, |next| next.saturating_duration_since(now)).min(PULSE);
        let Some((woken, connecting, ready)) = wait(listener, wake, &clients, (end.is_none(), time)) else { return };
        let mut at = 0..;
        clients.iter_mut().for_each(|client| {
            if at.next().is_some_and(|at| ready[at]) {
                client.go_on(&mut |request| desk.answer(request));
            }
        });
        if woken && end.is_none() {
            end = Some(Instant::now() + GRACE);
        }
        if connecting {
            welcome(listener, &mut clients);
        }
        // Looked at whether somebody asks or not.
        let _ = desk.live();
    }
}

/// Waits for something to do: whether it is to end, whether somebody connects, and which clients can go on. Nothing: waiting is refused.
fn wait(
    listener: &TcpListener,
    wake: &OwnedFd,
    clients: &[Connection],
    (running, time): (bool, Duration),
) -> Option<(bool, bool, Vec<bool>)> {
    let nothing = PollFlags::empty();
    let mut all = vec![
        PollFd::new(wake, if running { PollFlags::IN } else { nothing }),
        PollFd::new(listener, if clients.len() < CLIENTS { PollFlags::IN } else { nothing }),
    ];
    all.extend(clients.iter().map(|client| PollFd::from_borrowed_fd(client.stream(), client.interest())));
    match poll(&mut all, Timespec::try_from(time).ok().as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(_) => return None,
    }
    let is_due = |fd: &PollFd<'_>| !fd.revents().is_empty();
    Some((running && is_due(&all[0]), is_due(&all[1]), all[2..].iter().map(is_due).collect()))
}

/// Takes in those who wait to be.
fn welcome(listener: &TcpListener, clients: &mut Vec<Connection>) {
    while clients.len() < CLIENTS {
        match accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(stream) => clients.push(Connection::new(stream)),
            Err(Errno::AGAIN) => return,
            // One that has gone again.
            Err(Errno::CONNABORTED | Errno::INTR) => {}
            Err(_) => {
                // No descriptor or memory is left: the client still waits, and asking again at once would only burn the CPU.
                thread::sleep(CLIENTS_PAUSE);
                return;
            }
        }
    }
}
