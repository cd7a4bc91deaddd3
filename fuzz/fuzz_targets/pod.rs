//! The fuzzer is whoever writes what a pod is given: variables, annotations, device metadata, lists of CPUs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vfwire_pod::{CpuSet, PodError, Root, discover, parse_annotations, parse_metadata};

/// More than an error may show of a value, and of as many candidates as an input of 4 KiB has.
const TEXT_MAX: usize = 64 << 10;

fuzz_target!(|text: &str| {
    let check = |error: PodError| {
        let text = error.to_string();
        assert!(!text.is_empty() && text.len() < TEXT_MAX);
    };
    let mut parts = text.splitn(3, "\n\n");
    let variables = parts.next().unwrap_or_default().lines().filter_map(|line| line.split_once('='));
    let given = discover(&Root::at("/nonexistent", variables.map(|(name, value)| (name.to_owned(), value.to_owned()))));
    given.problems.iter().cloned().for_each(check);
    for most in [1, 2] {
        match given.choose(&[], most) {
            Ok(vfs) => assert!(!vfs.is_empty() && vfs.len() <= most && given.problems.is_empty()),
            Err(error) => check(error),
        }
    }
    let part = parts.next().unwrap_or_default();
    match parse_annotations("/annotations", part) {
        Ok(networks) => networks.iter().for_each(|network| assert!(network.is_called(&network.name))),
        Err(error) => check(error),
    }
    if let Ok(cpus) = part.parse::<CpuSet>() {
        assert_eq!(cpus.to_string().parse(), Ok(cpus), "what is written is read again");
    }
    if let Err(error) = parse_metadata("/metadata.json", parts.next().unwrap_or_default()) {
        check(error);
    }
});
