//! `--metrics` over real sockets: what is served, to whom, and what a client that misbehaves gets.

mod running;

use running::{Running, vfwire};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

/// Longer than any answer takes.
const LIMIT: Duration = Duration::from_secs(30);
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A forwarder between simulated ports, and where its metrics are.
fn forward(options: &[&str]) -> (Running, SocketAddr) {
    served("forward", options)
}

/// A command that runs, and where its metrics are.
fn served(command: &str, options: &[&str]) -> (Running, SocketAddr) {
    let mut command = vfwire(&[command, "--duration", "120s", "--metrics", "127.0.0.1:0"]);
    let mut running = Running::start(command.args(options));
    let line = running.wait_for("metrics on http://");
    let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).and_then(|text| text.parse().ok());
    let address = address.unwrap_or_else(|| panic!("no address in {line:?}"));
    running.wait_for("Mframes/s");
    (running, address)
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("it listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    stream
}

/// Status, headers and body.
fn answer(mut stream: TcpStream) -> (u16, String, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer that ends");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no headers: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status: {head}"));
    (status, head.to_owned(), body.to_owned())
}

fn ask(to: SocketAddr, request: &str) -> (u16, String, String) {
    let mut stream = connect(to);
    stream.write_all(request.as_bytes()).expect("it listens");
    answer(stream)
}

fn get(to: SocketAddr, path: &str) -> (u16, String, String) {
    ask(to, &format!("GET {path} HTTP/1.1\r\nHost: vfwire\r\n\r\n"))
}

/// The sum of a metric's values.
fn sum(page: &str, metric: &str) -> f64 {
    let values = page.lines().filter(|line| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' '])));
    let values: Vec<f64> = values.map(|line| line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a value")).collect();
    assert!(!values.is_empty(), "no {metric} in {page}");
    values.iter().sum()
}

/// Asks until `is_so`.
fn wait_until(to: SocketAddr, path: &str, is_so: impl Fn(u16, &str) -> bool) -> String {
    let start = std::time::Instant::now();
    loop {
        let (status, _, body) = get(to, path);
        if is_so(status, &body) {
            return body;
        }
        assert!(start.elapsed() < LIMIT, "{path}: {status} {body}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn counters_of_a_running_command_grow() {
    let (running, address) = forward(&["--mode", "io"]);
    let (status, head, first) = get(address, "/metrics");
    assert_eq!(status, 200);
    assert!(head.contains(&format!("\r\nContent-Type: {OPEN_METRICS}\r\n")), "{head}");
    assert!(first.ends_with("# EOF\n"), "{first}");
    for metric in
        ["vfwire_port_receive_frames_total", "vfwire_port_transmit_bytes_total", "vfwire_worker_turns_total", "vfwire_worker_frames_total"]
    {
        let before = sum(&first, metric);
        wait_until(address, "/metrics", |_, page| sum(page, metric) > before);
    }
    assert_eq!((sum(&first, "vfwire_ready"), sum(&first, "vfwire_port_link_up")), (1.0, 2.0), "{first}");
    assert!(first.contains("cause=\"ring_full\"") && first.contains("pciAddr=\"sim:igbvf,spoofchk=off\""), "{first}");
    running.signal("TERM");
    assert_eq!(running.end().0.code(), Some(0));
}

#[test]
fn a_generator_tells_of_its_ports_its_worker_and_latencies() {
    let (running, address) = served("generate", &["--port", "sim:igbvf,loop,delay=1ms", "--rate", "1kpps"]);
    let first = wait_until(address, "/metrics", |_, page| page.contains("vfwire_latency_seconds{"));
    for metric in [
        "vfwire_port_receive_frames_total",
        "vfwire_port_transmit_frames_total",
        "vfwire_worker_turns_total",
        "vfwire_worker_polls_total",
        "vfwire_worker_frames_total",
        "vfwire_latency_frames_total",
    ] {
        let before = sum(&first, metric);
        wait_until(address, "/metrics", |_, page| sum(page, metric) > before);
    }
    let line = first.lines().find(|line| line.starts_with("vfwire_latency_seconds{") && line.contains("percentile=\"50\""));
    let line = line.unwrap_or_else(|| panic!("no median in {first}"));
    assert!(line.contains("of=\"sim:igbvf,loop,delay=1ms to sim:igbvf,loop,delay=1ms\""), "{line}");
    let median_s: f64 = line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a value");
    assert!(median_s >= 0.001 && sum(&first, "vfwire_latency_max_seconds") >= median_s, "the wire takes a millisecond: {line}");
    assert!(!first.contains("vfwire_worker_cycles_per_frame"), "it does not measure them");
    assert_eq!((get(address, "/livez").0, get(address, "/readyz").0), (200, 200));
    running.signal("TERM");
    let (status, stdout, _) = running.end();
    assert!(status.success() && stdout.contains("partial: SIGTERM"), "{stdout}");
}

#[test]
fn a_replay_and_a_capture_are_counted_too() {
    let file = running::folder("metrics").join("taken.pcapng");
    let file = file.to_str().expect("UTF-8");
    let (running, address) = served("capture", &["--port", "sim:igbvf", "-w", file, "--snap", "64"]);
    wait_until(address, "/metrics", |_, page| page.contains("vfwire_port_") && sum(page, "vfwire_port_receive_frames_total") > 1000.0);
    running.signal("TERM");
    assert_eq!(running.end().0.code(), Some(0));
    let options = ["--port", "sim:igbvf,loop,spoofchk=off", "--replay", file, "--loop", "1000000000"];
    let (running, address) = served("generate", &options);
    for metric in ["vfwire_worker_turns_total", "vfwire_worker_polls_total", "vfwire_port_transmit_frames_total"] {
        wait_until(address, "/metrics", |_, page| page.contains("vfwire_worker_") && sum(page, metric) > 0.0);
    }
    let (_, _, page) = get(address, "/metrics");
    assert!(!page.contains("vfwire_latency"), "frames of a file carry no time: {page}");
    running.signal("TERM");
    assert_eq!(running.end().0.code(), Some(0));
}

#[test]
fn the_older_format_and_the_headers_alone_can_be_had() {
    let (_running, address) = forward(&[]);
    let (_, head, body) = ask(address, "GET /metrics HTTP/1.1\r\nAccept: text/plain;version=0.0.4\r\n\r\n");
    assert!(
        head.contains("text/plain; version=0.0.4") && !body.contains("# EOF") && body.contains("# TYPE vfwire_port_resets_total counter")
    );
    let both = "GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n\r\n";
    assert!(ask(address, both).1.contains(OPEN_METRICS));
    let (status, head, body) = ask(address, "HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(status == 200 && body.is_empty() && head.contains("Content-Length: "), "{head}");
}

/// Prometheus's own linter. It has one remark, about the label that the SR-IOV metrics exporter has too and that joins with it.
#[test]
fn promtool_reads_the_page() {
    const REMARK: &str = "label names should be written in 'snake_case' not 'camelCase'";
    const OLDER: &str = "GET /metrics HTTP/1.1\r\nAccept: text/plain\r\n\r\n";
    let (_running, address) = forward(&["--workers", "2", "--port", "sim:igbvf,spoofchk=off"]);
    let (_, _, page) = ask(address, OLDER);
    let said = |page: &str| {
        let mut command = Command::new("promtool");
        let command = command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("promtool: apt-get install --no-install-recommends prometheus");
        child.stdin.take().expect("piped").write_all(page.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout))
    };
    let (code, remarks) = said(&page);
    assert!(remarks.lines().all(|line| line.ends_with(REMARK)), "{code:?} {remarks}");
    let (_running, address) = served("generate", &["--rate", "1kpps"]);
    wait_until(address, "/metrics", |_, page| page.contains("vfwire_latency_seconds{"));
    let (code, remarks) = said(&ask(address, OLDER).2);
    assert!(remarks.lines().all(|line| line.ends_with(REMARK)), "{code:?} {remarks}");
    assert_eq!(said(&page.replace("pciAddr=", "pci_addr=")), (Some(0), String::new()));
    let (code, remarks) = said(&page.replace("# HELP vfwire_ready", "# vfwire_ready"));
    assert!(code == Some(3) && remarks.contains("vfwire_ready no help text"), "{code:?} {remarks}");
}

#[test]
fn what_is_no_request_is_answered_and_harms_nobody() {
    let (running, address) = forward(&[]);
    for (request, status) in [
        ("GET /nothing HTTP/1.1\r\n\r\n".to_owned(), 404),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello".to_owned(), 405),
        ("nonsense\r\n\r\n".to_owned(), 400),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000)), 431),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1000)), 431),
    ] {
        let mut stream = connect(address);
        // It may be refused before it is sent whole.
        let _ = stream.write_all(request.as_bytes());
        assert_eq!(answer(stream).0, status, "{}", &request[..request.len().min(40)]);
    }
    // More than may be there at a time, and none of them says anything; one says half of something.
    let silent: Vec<_> = (0..40).map(|_| connect(address)).collect();
    let mut slow = connect(address);
    slow.write_all(b"GET /metrics HTT").expect("it listens");
    let (status, ..) = get(address, "/livez");
    assert_eq!(status, 200);
    assert_eq!(answer(slow).0, 408);
    drop(silent);
    running.signal("TERM");
    assert_eq!(running.end().0.code(), Some(0));
}

#[test]
fn a_slow_client_keeps_nobody_waiting() {
    let (_running, address) = forward(&[]);
    let mut slow = connect(address);
    slow.write_all(b"GET /livez HTTP/1.1\r\n").expect("it listens");
    assert_eq!(get(address, "/livez").0, 200, "the other one is not done yet");
    slow.write_all(b"\r\n").expect("still in time");
    assert_eq!(answer(slow).0, 200);
}

#[test]
fn it_is_not_ready_once_it_is_asked_to_end() {
    let (mut running, address) = forward(&["--port", "sim:igbvf,spoofchk=off"]);
    assert_eq!(get(address, "/readyz").0, 200);
    // Connected before, and asks after.
    let mut stream = connect(address);
    stream.write_all(b"GET /readyz HTTP/1.1\r\n").expect("it listens");
    // The server has taken it in, since it has answered somebody who came later.
    assert_eq!(get(address, "/livez").0, 200);
    running.signal("TERM");
    running.wait_for("no longer ready: SIGTERM");
    stream.write_all(b"\r\n").expect("it waits for those who have connected");
    let (status, _, body) = answer(stream);
    assert_eq!((status, &*body), (503, "asked to end\n"));
    assert_eq!(running.end().0.code(), Some(0));
}

#[test]
fn it_is_not_ready_in_a_reset() {
    let (_running, address) = forward(&["--port", "sim:igbvf,spoofchk=off,reset_ms=400"]);
    wait_until(address, "/readyz", |status, body| status == 503 && (body.contains("does not run") || body.contains("has no link")));
    wait_until(address, "/readyz", |status, _| status == 200);
    wait_until(address, "/metrics", |_, page| sum(page, "vfwire_port_resets_total") >= 1.0);
}

#[test]
fn an_address_that_cannot_be_had_is_refused_in_a_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").to_string();
    for (address, code, words) in [
        (&*taken, 1, "another process listens there"),
        ("192.0.2.1:9464", 2, "no address of this machine"),
        ("nonsense", 2, "--metrics"),
        ("9464", 2, "--metrics"),
    ] {
        let output = vfwire(&["forward", "--duration", "100ms", "--metrics", address]).output().expect("the command runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{address}: {said}");
        assert!(said.contains(words) && said.contains(address), "{address}: {said}");
    }
    let output = vfwire(&["forward", "--duration", "100ms", "--metrics", "0.0.0.0:0"]).output().expect("the command runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("whoever reaches 0.0.0.0"), "{said}");
}
