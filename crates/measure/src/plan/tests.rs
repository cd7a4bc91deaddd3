use super::*;
use crate::result::TrialCounts;

/// A device that bears `capacity` frames a second and holds `queue` frames.
struct Device {
    capacity: f64,
    queue: u64,
    trials_left: usize,
    made: Vec<(Purpose, Offer)>,
    left: Vec<Duration>,
    clock_s: f64,
}

const MAX: u64 = 10_000_000;

impl Device {
    fn new(capacity: f64, queue: u64) -> Self {
        Self { capacity, queue, trials_left: 10_000, made: Vec::new(), left: Vec::new(), clock_s: 0.0 }
    }
}

impl Bench for Device {
    type Error = &'static str;

    fn size(&mut self, _: u32) -> Result<(Limits, Vec<Trial>), Self::Error> {
        Ok((Limits { line_rate_fps: None, max_load_fps: MAX }, Vec::new()))
    }

    fn trial(&mut self, purpose: Purpose, offer: Offer) -> Result<Trial, Self::Error> {
        self.trials_left = self.trials_left.checked_sub(1).ok_or("asked to end")?;
        self.made.push((purpose, offer));
        let (intended, load_fps, duration_s) = match offer {
            Offer::Load { fps, duration } => (fps as f64 * duration.as_secs_f64(), fps, duration.as_secs_f64()),
            Offer::Burst { frames } => (frames as f64, 0, frames as f64 / MAX as f64),
        };
        let borne = (self.capacity * duration_s + self.queue as f64).min(intended);
        let counts = TrialCounts { intended: search::whole(intended), received: search::whole(borne), ..TrialCounts::default() };
        self.clock_s += duration_s;
        Ok(Trial {
            purpose,
            at_s: self.clock_s - duration_s,
            load_fps,
            duration_s,
            counts,
            loss_ratio: 1.0 - borne / intended,
            longest_gap_ns: 0,
            latency: None,
            events: Vec::new(),
        })
    }

    fn cycles_per_frame(&mut self) -> Option<f64> {
        Some(42.0)
    }

    fn step_done(&mut self, _: &[SizeResult], left: Duration) -> Result<(), Self::Error> {
        self.left.push(left);
        Ok(())
    }
}

pub(crate) fn plan() -> Plan {
    let trial = Duration::from_secs(1);
    let ndr = Goal {
        loss_ratio: 0.0,
        initial_trial: trial / 4,
        final_trial: trial,
        duration_sum: trial,
        exceed_ratio: 0.5,
        relative_width: 0.01,
    };
    Plan {
        sizes: vec![64, 1518],
        ndr,
        pdr: Goal { loss_ratio: 0.005, ..ndr },
        repeat: 3,
        trial,
        latency_shares: vec![0.1, 0.5, 0.9],
        loss_steps: 10,
        longest_burst: Duration::from_secs(2),
        min_load_fps: 1000,
        trials_max: 200,
    }
}

#[test]
fn everything_is_measured_of_every_size() {
    let mut device = Device::new(3e6, 1000);
    let (sizes, result) = plan().run(&mut device);
    assert_eq!(result, Ok(()));
    assert_eq!(sizes.iter().map(|size| size.frame_bytes).collect::<Vec<_>>(), [64, 1518]);
    for size in &sizes {
        let near = |throughput: &Option<Throughput>, truth: f64| {
            let lower = throughput.as_ref().and_then(|found| found.lower_fps).expect("a bound") as f64;
            assert!(lower <= truth && lower > 0.989 * truth, "{lower} for {truth}");
            assert_eq!(throughput.as_ref().map(|found| found.each_fps.len()), Some(3));
        };
        near(&size.ndr, 3.001e6);
        near(&size.pdr, 3.016e6);
        assert_eq!(size.latency.iter().map(|point| point.share_of_pdr).collect::<Vec<_>>(), [0.1, 0.5, 0.9]);
        assert_eq!(size.cycles_per_frame, Some(42.0));
        // 100 % to 40 % lose, 30 % and 20 % do not.
        assert_eq!(
            size.loss.iter().map(|point| search::whole(point.share_of_max * 10.0 + 0.5)).collect::<Vec<_>>(),
            [2, 3, 4, 5, 6, 7, 8, 9, 10]
        );
        assert!((size.loss[8].loss_ratio - 0.7).abs() < 0.001 && size.loss[1].loss_ratio == 0.0);
        assert!(size.loss.windows(2).all(|pair| pair[0].received_fps <= pair[1].received_fps + 1.0));
    }
    assert_eq!(device.made.len(), sizes.iter().map(|size| size.trials.len()).sum::<usize>(), "every trial is kept");
}

#[test]
fn the_longest_burst_is_what_the_queue_and_the_device_take() {
    let mut device = Device::new(3e6, 50_000);
    let (sizes, _) = plan().run(&mut device);
    let burst = sizes[0].back_to_back.as_ref().expect("a burst");
    // At ten million frames a second, seven of ten wait.
    let truth = 50_000.0 / 0.7;
    assert!(burst.frames <= truth && burst.frames > truth * 0.97, "{burst:?}");
    assert!((burst.sent_fps / MAX as f64 - 1.0).abs() < 0.01, "{burst:?}");
    let mut perfect = Device::new(1e9, 0);
    let (sizes, _) = plan().run(&mut perfect);
    let burst = sizes[0].back_to_back.as_ref().expect("a burst");
    assert_eq!((burst.frames, burst.max_frames), (2e7, 20_000_000));
    let mut none = Device::new(0.0, 0);
    let (sizes, result) = plan().run(&mut none);
    assert_eq!((sizes[0].back_to_back.as_ref().map(|burst| burst.frames), result), (Some(0.0), Ok(())));
    assert!(sizes[0].latency.is_empty() && sizes[0].pdr.as_ref().is_some_and(|pdr| pdr.lower_fps.is_none()));
}

#[test]
fn what_was_measured_until_an_early_end_is_kept() {
    let whole = {
        let mut device = Device::new(3e6, 1000);
        plan().run(&mut device).1.expect("it ends");
        device.made.len()
    };
    for allowed in 0..whole {
        let mut device = Device { trials_left: allowed, ..Device::new(3e6, 1000) };
        let (sizes, result) = plan().run(&mut device);
        assert_eq!(result, Err("asked to end"), "after {allowed} of {whole}");
        assert_eq!(sizes.iter().map(|size| size.trials.len()).sum::<usize>(), allowed);
    }
}

#[test]
fn the_time_left_shrinks_to_nothing_and_was_about_right() {
    let mut device = Device::new(3e6, 1000);
    let plan = plan();
    let expected = plan.expected_duration().as_secs_f64();
    plan.run(&mut device).1.expect("it ends");
    assert_eq!(device.left.len(), 2 * STEPS);
    assert!(device.left.windows(2).all(|pair| pair[1] < pair[0]), "{:?}", device.left);
    assert_eq!(device.left.last(), Some(&Duration::ZERO));
    assert!((0.4..2.0).contains(&(device.clock_s / expected)), "{} s, and {expected} s were expected", device.clock_s);
}
