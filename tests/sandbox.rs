//! What is left to a command that runs: no file, no socket, no privilege; and what forwarding takes of the system: nothing.

mod running;

use running::{Running, count, folder, json, vfwire};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Output, Stdio},
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};
use vfwire::{
    BufCache, Burst, Host, PoolConfig, Port, PortConfig,
    forward::{Lane, MacSwap, Stage, Worker},
};

const PAIR: [&str; 4] = ["--port", "sim:igbvf,spoofchk=off", "--port", "sim:ixgbevf,spoofchk=off"];

fn forward(options: &[&str]) -> Running {
    let mut running = Running::start(vfwire(&["forward", "--json", "--duration", "120s"]).args(options));
    running.wait_for("forwarding");
    running
}

/// A field of the status of every thread, by the thread's number.
fn of_threads(running: &Running, field: &str) -> Vec<String> {
    let folder = format!("/proc/{}/task", running.id());
    let threads: Vec<_> = fs::read_dir(folder).expect("it runs").map(|thread| thread.expect("an entry").path()).collect();
    let value = |thread: &Path| {
        let status = fs::read_to_string(thread.join("status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {field}: {status}")).trim().to_owned()
    };
    threads.iter().map(|thread| value(thread)).collect()
}

#[test]
fn every_thread_is_in_the_sandbox() {
    let running = forward(&[&PAIR[..], &["--workers", "2"]].concat());
    // The control thread, two workers, and the simulated machine.
    assert_eq!(of_threads(&running, "Seccomp"), ["2"; 4], "SECCOMP_MODE_FILTER");
    assert_eq!(of_threads(&running, "NoNewPrivs"), ["1"; 4]);
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(of_threads(&running, set), ["0000000000000000"; 4], "{set}");
    }
    running.signal("TERM");
    assert_eq!(running.end().0.code(), Some(0));
}

#[test]
fn without_it_nothing_is_taken_away() {
    let own = fs::read_to_string("/proc/self/status").expect("Linux");
    let own = |field: &str| own.lines().find_map(|line| line.strip_prefix(field)).map(|value| value.trim().to_owned());
    let running = forward(&["--no-sandbox", "--port", "sim:igbvf"]);
    for field in ["Seccomp", "NoNewPrivs", "CapEff", "CapBnd"] {
        let ours = own(&format!("{field}:")).expect("a field");
        assert!(of_threads(&running, field).iter().all(|value| *value == ours), "{field}");
    }
    running.signal("TERM");
    assert_eq!(running.end().0.code(), Some(0));
}

#[test]
fn it_listens_to_nobody_and_writes_no_file() {
    let folder = folder("no-files");
    for sandbox in [&[][..], &["--no-sandbox"]] {
        // Files cannot grow beyond 0 bytes: whoever writes one gets SIGXFSZ.
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -f 0; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_vfwire"), "forward", "--duration", "120s"]);
        command.args(PAIR).args(sandbox).current_dir(&folder).env("HOME", &folder).env("TMPDIR", &folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running::start(&mut command);
        running.wait_for("Mframes/s");
        let open = fs::read_dir(format!("/proc/{}/fd", running.id())).expect("it runs");
        let open: Vec<_> = open.filter_map(|entry| Some(fs::read_link(entry.ok()?.path()).ok()?.display().to_string())).collect();
        // What it was given, and nothing of its own.
        let is_given = |name: &String| name.starts_with("pipe:") || name == "/dev/null";
        assert!(open.len() >= 3 && open.iter().all(is_given), "{open:?}");
        running.signal("TERM");
        let (status, _, said) = running.end();
        assert_eq!(status.code(), Some(0), "{said:?}");
        assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 0);
    }
}

#[test]
fn ports_recover_in_the_sandbox_and_the_recorder_is_written() {
    let recording = folder("recovery").join("port.rec");
    let path = recording.to_str().expect("UTF-8");
    let mut running = forward(&["--port", "sim:igbvf,spoofchk=off,reset_ms=200", "--flight-recorder", path]);
    for event in ["ResetStarted", "Recovered", "FirstFrame"].repeat(2) {
        running.wait_for(&format!("\"event\":\"{event}\""));
    }
    fs::write(&recording, "").expect("it can be emptied");
    running.signal("USR1");
    running.wait_for("the flight recorder was written");
    assert!(fs::metadata(&recording).expect("a file").len() > 0);
    assert_eq!(of_threads(&running, "Seccomp"), ["2"; 3]);
    running.signal("TERM");
    let (status, stdout, said) = running.end();
    assert_eq!(status.code(), Some(0), "{said:?}");
    let port = &json(&stdout)["ports"][0];
    assert!(count(&port["reset_to_first_frame_us"], "count") >= 2, "{port}");
    assert!(fs::read_to_string(&recording).expect("a recording").contains("close"));
}

/// Set for a process of its own, to the stage of its worker.
const STAGE: &str = "VFWIRE_TEST_STAGE";
/// What the worker of that process must forward.
const FRAMES: u64 = 20_000;

/// Exchanges addresses, and asks the system for a trifle at each burst.
struct Asking;

impl Stage for Asking {
    fn process(&mut self, burst: &mut Burst, cache: &mut BufCache) {
        MacSwap.process(burst, cache);
        std::thread::yield_now();
    }
}

/// A filter that ends the process at whatever system call.
fn no_system_call_at_all() -> BpfProgram {
    let arch = env::consts::ARCH.try_into().expect("an architecture that seccomp knows");
    let filter = SeccompFilter::new(BTreeMap::new(), SeccompAction::KillProcess, SeccompAction::Allow, arch);
    filter.and_then(TryInto::try_into).expect("a filter")
}

/// A worker that may not make a single system call, over queues of every driver, and the end of the process.
fn be_the_worker(stage: String) -> ! {
    static STOP: AtomicBool = AtomicBool::new(false);
    let mut host = Host::new();
    let addresses = ["sim:igbvf,spoofchk=off", "sim:ixgbevf,spoofchk=off", "sim:virtio-net"];
    let mut ports = addresses.map(|address| host.open(address).expect("a simulated port"));
    let pool = host.pool(PoolConfig::new(8192)).expect("memory");
    let mut lanes = Vec::new();
    for port in &mut ports {
        let queues = port.start(&PortConfig::new(&pool)).expect("a port that starts");
        lanes.extend(queues.rx.into_iter().zip(queues.tx).map(|(rx, tx)| Lane::new(rx, tx, &pool, 32)));
    }
    let readers: Vec<_> = lanes.iter().map(Lane::reader).collect();
    let mut worker = Worker::new(lanes, &pool);
    let none = no_system_call_at_all();
    std::thread::spawn(move || {
        apply_filter(&none).expect("the filter is installed");
        match &stage[..] {
            "asks" => worker.run(&mut Asking, &STOP),
            _ => worker.run(&mut MacSwap, &STOP),
        }
    });
    let start = Instant::now();
    while readers.iter().any(|lane| lane.read().frames < FRAMES) {
        if start.elapsed() > Duration::from_secs(120) {
            println!("too slow: {:?}", readers.iter().map(|lane| lane.read().frames).collect::<Vec<_>>());
            std::process::exit(3);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // Without the worker's end, which is not the loop.
    std::process::exit(0);
}

/// How the process of its own ends, which `test` starts: this program again, told to run the same test. In that process: is the worker.
fn worker_with(test: &str, stage: &str) -> Output {
    if let Ok(stage) = env::var(STAGE) {
        be_the_worker(stage);
    }
    let mut command = Command::new(env::current_exe().expect("this test"));
    command.args(["--exact", test, "--nocapture"]).env(STAGE, stage);
    command.output().expect("it runs")
}

#[test]
fn a_polling_worker_makes_no_system_call() {
    let output = worker_with("a_polling_worker_makes_no_system_call", "swaps");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.status.signal()), (Some(0), None), "{said}");
}

#[test]
fn one_system_call_would_be_noticed() {
    assert_eq!(worker_with("one_system_call_would_be_noticed", "asks").status.signal(), Some(31), "SIGSYS");
}
