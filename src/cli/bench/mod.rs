//! `vfwire bench`: what a device bears, searched, with everything that is needed to believe it.

mod control;
mod environment;
mod file;
mod kernel;
mod options;
mod runner;
mod setup;
mod tester;
mod text;
mod warnings;

use super::{Failure, console::Console, control::Signals, given::Given, print, sandbox::Sandbox};
use control::Control;
use file::ResultFile;
use kernel::{Counters, Kernel};
pub(crate) use options::Options;
use runner::{Ending, Runner};
use setup::{Forwarder, Setup};
use std::time::{Instant, SystemTime};
use tester::Tester;
use vfwire::{Address, Host, HugepageChoice, Port};
use vfwire_measure::{
    plan::Plan,
    result::{self, Environment, Measurement, Method, Outcome, Role, SCHEMA, SizeResult, Topology},
};
use vfwire_pod::Root;

const PORTS_MAX: usize = 2;

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let given = Given::find(&options.wanted, &Root::of_this_process(), PORTS_MAX)?;
    if given.ports.len() > PORTS_MAX {
        return Err(Failure::usage(format!("--port was given {} times: a device is measured between two, or on one", given.ports.len())));
    }
    options.check(given.ports.len())?;
    let mut file = options.output.as_deref().map(ResultFile::open).transpose()?;
    let signals = Signals::catch(false)?;
    let sandbox = Sandbox::new(!options.no_sandbox);
    let measurement = measure(options, &given, (&mut file, &signals), sandbox).map_err(|failure| sandbox.hint(failure))?;
    print(text::summary(&measurement))?;
    judged(&measurement)
}

/// A requirement that is not known to be met is an error.
fn judged(measurement: &Measurement) -> Result<(), Failure> {
    let verdict = &measurement.verdict;
    if !verdict.requirements.is_any() || verdict.outcome == Outcome::Pass {
        return Ok(());
    }
    Err(Failure::failed(format!("{}: {}", verdict.outcome.text(), verdict.reasons.join("; "))))
}

fn measure(
    options: &Options,
    given: &Given,
    (file, signals): (&mut Option<ResultFile>, &Signals),
    sandbox: Sandbox,
) -> Result<Measurement, Failure> {
    let embedded = given.ports.is_empty();
    let simulated = given.ports.iter().all(|port| matches!(port, Address::Sim(_)));
    let mut console = Console::new();
    given.notes().iter().for_each(|note| console.say(note));
    let plan = options.plan(embedded);
    let about =
        if embedded { "no --port was given and this is no pod: a forwarder of this process, between simulated ports" } else { "measuring" };
    console.say(&format!("{about}; about {} s", plan.expected_duration().as_secs().max(1)));

    let need = setup::pool_config(options, given).len_bytes() as u64 + (1 << 20);
    let pages = if options.no_hugepages { HugepageChoice::None } else { given.pages(need) };
    let mut host = Host::with_pages(pages);
    given.tell(&mut host);
    if simulated {
        sandbox.drop_capabilities()?;
    }
    let Setup { pool, directions, facts, ports, forwarder } = setup::start(options, &mut host, given, &mut console)?;
    sandbox.drop_capabilities()?;
    let cpus = cpus(options, given);
    if let Some(id) = cpus.0
        && !core_affinity::set_for_current(core_affinity::CoreId { id })
    {
        return Err(Failure::usage(format!("--cores: CPU {id} is not this process's to use")));
    }
    let thread = |role, cpu| environment::thread_on(&given.environment, role, cpu);
    let mut threads = vec![thread(Role::Tester, cpus.0)];
    threads.extend(embedded.then(|| thread(Role::DeviceUnderTest, cpus.1)));
    let polling: Vec<usize> = [cpus.0, cpus.1].into_iter().flatten().collect();
    let memory = Some(host.memory_note().map_or(if simulated { "simulated" } else { "hugepages" }, |_| "normal pages").to_owned());
    let host_facts = environment::host(&given.environment, &polling, memory, setup::iommu(&facts, simulated));
    let link_mbps = facts.first().and_then(|port| port.link_mbps);
    let environment = Environment { host: host_facts, threads, ports: facts };

    let usable = given.environment.cpus.usable().0.len();
    // The thread of the simulated devices polls too.
    let poll_threads = environment.threads.len() + usize::from(simulated);
    let tester = Tester::new(directions, &pool, (options.burst, options.flows), usable < poll_threads)?;
    let forwarder = forwarder.map(|parts| Forwarder::start(parts, &pool, cpus.1)).transpose()?;
    let control = Control::start(ports)?;
    let kernel = Kernel::open(&[setup::FORWARDER]);
    sandbox.close()?;

    let (started, start, before) = (text::utc(SystemTime::now()), Instant::now(), kernel.read());
    let about = About { options, plan: &plan, started, start, environment, polling: (poll_threads, usable), embedded, simulated, before };
    let summary = |sizes: &[SizeResult]| about.measurement(sizes, Some("it was still running"), kernel.read());
    let mut runner = Runner {
        tester,
        control: &control,
        signals,
        console: &mut console,
        forwarder: forwarder.as_ref(),
        costs: None,
        start,
        link_mbps,
        simulated,
        max_load: options.max_load,
        file: file.as_mut(),
        summary: &summary,
        left: plan.expected_duration(),
        shown: start,
        frame_bytes: 0,
    };
    let (sizes, ended) = plan.run(&mut runner);
    drop(runner);
    console.end_status();
    let why = match &ended {
        Ok(()) => None,
        Err(Ending::Asked) => Some(signals.asked().unwrap_or("a signal").to_owned()),
        Err(Ending::Failed(failure)) => Some(failure.text.clone()),
    };
    let measurement = about.measurement(&sizes, why.as_deref(), kernel.read());
    drop(forwarder);
    for mut port in control.stop() {
        if let Err(error) = port.stop() {
            console.warn(&format!("{}: {error}", port.info().address));
        }
    }
    file.as_mut().map_or(Ok(()), |file| file.write(&measurement, true))?;
    match ended {
        Err(Ending::Failed(failure)) => Err(failure),
        _ => Ok(measurement),
    }
}

/// CPUs of the tester and of the embedded forwarder: those named; in a pod the best one for the tester; else wherever the scheduler puts them.
fn cpus(options: &Options, given: &Given) -> (Option<usize>, Option<usize>) {
    let order = given.cpu_order().unwrap_or_default();
    (options.cores.first().or(order.first()).copied(), options.cores.get(1).copied())
}

/// All of a measurement that is not measured.
struct About<'a> {
    options: &'a Options,
    plan: &'a Plan,
    started: String,
    start: Instant,
    environment: Environment,
    polling: (usize, usize),
    embedded: bool,
    simulated: bool,
    before: Counters,
}

impl About<'_> {
    fn measurement(&self, sizes: &[SizeResult], partial: Option<&str>, now: Counters) -> Measurement {
        let elapsed_s = self.start.elapsed().as_secs_f64();
        let (plan, goal) = (self.plan, &self.plan.ndr);
        let seen = warnings::Seen {
            simulated: self.simulated,
            environment: &self.environment,
            polling: self.polling,
            trial_s: plan.trial.as_secs_f64(),
            elapsed_s,
            counters: (self.before, now),
            sizes,
            partial,
        };
        let warnings = warnings::all(&seen);
        let topology = match self.environment.ports.len() {
            _ if self.embedded => Topology::Embedded,
            1 => Topology::Loop,
            _ => Topology::TwoPorts,
        };
        Measurement {
            kind: Measurement::kind(),
            schema: SCHEMA,
            vfwire: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started.clone(),
            elapsed_s,
            label: self.options.label.clone(),
            arguments: std::env::args().skip(1).collect(),
            simulated: self.simulated,
            partial: partial.map(ToOwned::to_owned),
            verdict: result::judge(self.options.requirements(), sizes, &warnings),
            warnings,
            method: Method {
                topology,
                directions: 1 + u32::from(self.options.bidirectional),
                initial_trial_s: goal.initial_trial.as_secs_f64(),
                trial_s: plan.trial.as_secs_f64(),
                duration_sum_s: goal.duration_sum.as_secs_f64(),
                exceed_ratio: goal.exceed_ratio,
                relative_width: goal.relative_width,
                repeat: plan.repeat,
                pdr_loss_ratio: plan.pdr.loss_ratio,
                min_load_fps: plan.min_load_fps,
                flows: u64::from(self.options.flows),
            },
            environment: self.environment.clone(),
            sizes: sizes.to_vec(),
        }
    }
}
