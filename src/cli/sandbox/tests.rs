//! A sandbox is for good, so it is tried in a process of its own: this program again, told to run the same test.
#![expect(unsafe_code, reason = "system calls that no library makes by itself")]

use super::*;
use std::{
    env,
    fs::{self, File},
    io::Write,
    process::Command,
    sync::mpsc,
    thread,
};

/// Set for the process of its own: `on`, `observed` or `off`.
const SANDBOX: &str = "VFWIRE_TEST_SANDBOX";

/// What must be refused, each with arguments with which it would do nothing.
const REFUSED: [(&str, libc::c_long, [libc::c_long; 6]); 15] = [
    ("openat", libc::SYS_openat, [0; 6]),
    ("socket", libc::SYS_socket, [0; 6]),
    ("bind", libc::SYS_bind, [-1, 0, 0, 0, 0, 0]),
    ("connect", libc::SYS_connect, [-1, 0, 0, 0, 0, 0]),
    ("execve", libc::SYS_execve, [0; 6]),
    ("clone3", libc::SYS_clone3, [0; 6]),
    ("ptrace", libc::SYS_ptrace, [-1, 0, 0, 0, 0, 0]),
    ("process_vm_writev", libc::SYS_process_vm_writev, [-1, 0, 0, 0, 0, 0]),
    ("memfd_create", libc::SYS_memfd_create, [0; 6]),
    ("kill", libc::SYS_kill, [0; 6]),
    ("mmap, executable", libc::SYS_mmap, [0, 0, 5, 0x22, -1, 0]),
    ("mprotect, executable", libc::SYS_mprotect, [0, 0, 5, 0, 0, 0]),
    ("ioctl TIOCSTI", libc::SYS_ioctl, [-1, 0x5412, 0, 0, 0, 0]),
    ("ioctl TCGETS", libc::SYS_ioctl, [-1, 0x5401, 0, 0, 0, 0]),
    ("accept4", libc::SYS_accept4, [-1, 0, 0, 0, 0, 0]),
];
/// How many of them, the last ones, a command that serves and draws may make.
const OF_OBSERVERS: usize = 2;

/// The names of those calls that are refused here.
fn refused() -> Vec<&'static str> {
    let is_refused = |(_, number, [a, b, c, d, e, f]): &(&str, libc::c_long, [libc::c_long; 6])| {
        // SAFETY: no argument is the address of memory that is ours, and each call fails, or does nothing, with these.
        let answer = unsafe { libc::syscall(*number, *a, *b, *c, *d, *e, *f) };
        answer == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
    };
    REFUSED.iter().filter(|call| is_refused(call)).map(|(name, ..)| *name).collect()
}

/// What a command does that is in its sandbox, or not, and the end of the process.
fn be_the_command(sandbox: &str) -> ! {
    let observed = sandbox == "observed";
    let sandbox = Sandbox::new(sandbox != "off").that_serves(observed).that_draws(observed);
    let ((go, wait), (up, is_up)) = (mpsc::channel(), mpsc::channel());
    let before = thread::spawn(move || {
        // What a thread asks of the system to begin with is over.
        up.send(()).expect("the other end is there");
        wait.recv().expect("the other end is there");
        refused()
    });
    is_up.recv().expect("the other end is there");
    sandbox.drop_capabilities().expect("capabilities are dropped");
    let status = fs::read_to_string("/proc/thread-self/status").expect("still allowed");
    let mut file = File::create(env::temp_dir().join(format!("vfwire-sandbox-{}", std::process::id()))).expect("still allowed");
    let _ = fs::remove_file(env::temp_dir().join(format!("vfwire-sandbox-{}", std::process::id())));
    sandbox.close().expect("the filter is installed");

    let field = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    for name in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:", "NoNewPrivs:"] {
        println!("{}", field(name));
    }
    println!("this thread: {:?}", refused());
    go.send(()).expect("the other end is there");
    println!("a thread from before: {:?}", before.join().expect("it ends"));
    // What must go on: memory, also much of it, files that are open, threads that end, sleep.
    println!("memory: {}", vec![1_u8; 64 << 20].iter().map(|&byte| usize::from(byte)).sum::<usize>());
    file.write_all(b"a file that is open").and_then(|()| file.set_len(0)).expect("files that are open can be written");
    thread::sleep(std::time::Duration::from_millis(1));
    std::process::exit(0);
}

/// What the process of its own prints, which `test` starts. In that process: is the command.
fn child(test: &str, sandbox: &str) -> String {
    if let Ok(sandbox) = env::var(SANDBOX) {
        be_the_command(&sandbox);
    }
    let mut command = Command::new(env::current_exe().expect("this test"));
    command.args(["--exact", &format!("{}::{test}", module_path!().trim_start_matches("vfwire::"))]);
    command.args(["--nocapture", "--test-threads", "1"]).env(SANDBOX, sandbox);
    let output = command.output().expect("it runs");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}: {} {}", output.status, text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn what_is_not_forwarding_is_refused_to_every_thread() {
    let said = child("what_is_not_forwarding_is_refused_to_every_thread", "on");
    let all = format!("{:?}", REFUSED.map(|(name, ..)| name));
    assert!(said.contains(&format!("this thread: {all}")), "{said}");
    assert!(said.contains(&format!("a thread from before: {all}")), "{said}");
    for name in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert!(said.contains(&format!("{name}\t0000000000000000")), "{said}");
    }
    assert!(said.contains("NoNewPrivs:\t1"), "{said}");
    assert!(said.contains("memory: 67108864"), "{said}");
}

#[test]
fn serving_and_drawing_take_no_more_than_they_need() {
    let said = child("serving_and_drawing_take_no_more_than_they_need", "observed");
    let rest: Vec<_> = REFUSED[..REFUSED.len() - OF_OBSERVERS].iter().map(|(name, ..)| *name).collect();
    assert!(said.contains(&format!("this thread: {rest:?}")), "{said}");
    assert!(said.contains(&format!("a thread from before: {rest:?}")), "{said}");
}

#[test]
fn nothing_is_refused_without_it() {
    let said = child("nothing_is_refused_without_it", "off");
    assert!(said.contains("this thread: []") && said.contains("a thread from before: []"), "{said}");
}

#[test]
fn an_error_that_may_be_the_sandboxs_says_so() {
    let failure = || Failure::failed(format!("could not write: {}", io::Error::from_raw_os_error(libc::EPERM)));
    assert!(Sandbox::new(true).hint(failure()).text.contains("--no-sandbox"));
    assert!(!Sandbox::new(false).hint(failure()).text.contains("--no-sandbox"));
    assert!(!Sandbox::new(true).hint(Failure::failed("no such function")).text.contains("--no-sandbox"));
}
