//! What came of a walk.

use super::{judge::Outcome, life::Help};
use crate::fixture::Fixture;
use std::collections::BTreeMap;
use vfwire_core::port::Driver;
use vfwire_sim::{Fault, Schedule};

/// Failures of a kind that are printed in full.
const PRINTED: usize = 3;

/// What came of a walk.
pub(super) struct Report {
    driver: &'static str,
    steps: usize,
    /// What the numbers of events mean.
    happenings: Vec<&'static str>,
    rows: BTreeMap<String, Row>,
    /// In how many runs each excuse was needed, and by which kinds of fault.
    excuses: BTreeMap<&'static str, BTreeMap<String, usize>>,
    failures: Vec<(Schedule, String)>,
}

/// The runs of one kind of fault.
#[derive(Default)]
struct Row {
    runs: usize,
    failed: usize,
    /// By itself, after a reset, a restart, a new port.
    help: [usize; 4],
    /// The port said that it cannot go on.
    ended: usize,
}

impl Report {
    pub(super) fn new<F: Fixture>(steps: usize, happenings: Vec<&'static str>) -> Self {
        Self { driver: F::Driver::NAME, steps, happenings, rows: BTreeMap::new(), excuses: BTreeMap::new(), failures: Vec::new() }
    }

    pub(super) fn add(&mut self, schedule: &Schedule, result: Result<Outcome, String>) {
        let name = self.name(schedule);
        for excuse in result.iter().flat_map(|outcome| &outcome.excuses) {
            *self.excuses.entry(excuse).or_default().entry(name.clone()).or_default() += 1;
        }
        let row = self.rows.entry(name).or_default();
        row.runs += 1;
        match result {
            Ok(Outcome { help: Some(help), .. }) => row.help[help as usize] += 1,
            Ok(Outcome { help: None, .. }) => row.ended += 1,
            Err(wrong) => {
                row.failed += 1;
                self.failures.push((schedule.clone(), wrong));
            }
        }
    }

    fn name(&self, schedule: &Schedule) -> String {
        match schedule.faults() {
            [(_, Fault::Event(which))] => self.happenings.get(*which).copied().unwrap_or("no event of this number").into(),
            [(_, fault @ Fault::Corrupt(_))] => fault.name().into(),
            [(_, fault)] => fault.to_string(),
            several => format!("{} faults", several.len()),
        }
    }

    /// Prints the table; fails where anything failed.
    pub(super) fn conclude(mut self) {
        const HELPS: [Help; 4] = [Help::None, Help::Reset, Help::Restart, Help::Reopen];
        println!("{}: a life of {} steps", self.driver, self.steps);
        println!("{:<36}{:>7}{:>7}{:>7}{:>7}{:>7}{:>7}{:>7}", "fault", "runs", "itself", "reset", "restart", "reopen", "ended", "FAILED");
        let mut runs = 0;
        for (name, row) in &self.rows {
            runs += row.runs;
            print!("{name:<36}{:>7}", row.runs);
            HELPS.iter().for_each(|help| print!("{:>7}", row.help[*help as usize]));
            println!("{:>7}{:>7}", row.ended, row.failed);
        }
        for (excuse, faults) in &self.excuses {
            let faults: Vec<_> = faults.iter().map(|(fault, runs)| format!("{fault} {runs}")).collect();
            println!("excused: {excuse}: {}", faults.join(", "));
        }
        self.failures.sort_by_key(|(schedule, _)| schedule.faults()[0].0);
        let (failed, mut printed) = (self.failures.len(), BTreeMap::<String, usize>::new());
        for (schedule, wrong) in &self.failures {
            let name = self.name(schedule);
            let before = printed.entry(name.clone()).or_default();
            *before += 1;
            if *before <= PRINTED {
                println!("\n{schedule} ({name}): {wrong}\n  {}", self.replay(schedule));
            }
        }
        assert!(failed == 0, "{failed} of {runs} runs of {} went wrong", self.driver);
    }

    /// The command that repeats a run.
    fn replay(&self, schedule: &Schedule) -> String {
        let driver = self.driver;
        format!("{}={schedule} cargo test -p vfwire-{driver} --test conformance faults::every -- --nocapture", super::VARIABLE)
    }
}
