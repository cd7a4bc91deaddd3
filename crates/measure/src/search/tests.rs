use super::*;
use std::convert::Infallible;

const MAX: u64 = 14_880_952;
const TRIALS: usize = 400;

/// A device whose loss is a function of the load and the number of the trial.
struct Device<F> {
    loss: F,
    tried: Vec<(u64, Duration)>,
}

impl<F: FnMut(f64, usize) -> f64> Tester for Device<F> {
    type Error = Infallible;

    fn trial(&mut self, load_fps: u64, duration: Duration) -> Result<Observed, Infallible> {
        let loss_ratio = (self.loss)(load_fps as f64, self.tried.len());
        self.tried.push((load_fps, duration));
        Ok(Observed { duration, loss_ratio })
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn goal(loss_ratio: f64) -> Goal {
    Goal { loss_ratio, initial_trial: ms(250), final_trial: ms(1000), duration_sum: ms(1000), exceed_ratio: 0.0, relative_width: 0.005 }
}

fn found(goals: &[Goal], loss: impl FnMut(f64, usize) -> f64) -> (Vec<Found>, Vec<(u64, Duration)>) {
    let mut device = Device { loss, tried: Vec::new() };
    let Ok(found) = search(&mut device, &(1000..=MAX), goals, TRIALS);
    (found, device.tried)
}

/// Bears up to `capacity` without loss, and never forwards more.
fn saturated(capacity: f64) -> impl Fn(f64, usize) -> f64 {
    move |load, _| (1.0 - capacity / load).max(0.0)
}

fn brackets(found: &Found, truth: f64, width: f64) {
    let (lower, upper) = (found.lower_fps.expect("a lower bound") as f64, found.upper_fps.expect("an upper bound") as f64);
    assert!(lower <= truth && truth <= upper + 1.0 && upper - lower <= width * upper + 1.0, "{lower} to {upper} for {truth}");
    assert_eq!(found.ended, Ended::Width);
}

#[test]
fn the_capacity_lies_between_the_bounds_and_few_trials_find_it() {
    for capacity in [1500.0, 20_000.0, 812_345.0, 3.3e6, 9.999e6, 14.8e6] {
        let (found, tried) = found(&[goal(0.0), goal(0.005)], saturated(capacity));
        brackets(&found[0], capacity, 0.005);
        brackets(&found[1], capacity / 0.995, 0.005);
        assert!(tried.len() <= 25, "{} trials for {capacity}: {tried:?}", tried.len());
        let conditional = found[1].conditional_fps.expect("a rate");
        assert!((conditional / capacity - 1.0).abs() < 0.0051, "{conditional} came through, of {capacity}");
        assert!(found[0].conditional_fps == found[0].lower_fps.map(|fps| fps as f64), "without loss all of the load comes through");
    }
}

#[test]
fn a_device_that_never_loses_is_said_to_bear_the_highest_load() {
    let (found, tried) = found(&[goal(0.0), goal(0.005)], |_, _| 0.0);
    for found in found {
        assert_eq!((found.lower_fps, found.upper_fps, found.ended), (Some(MAX), None, Ended::MaxLoad));
    }
    assert!(tried.len() <= 3, "{tried:?}");
}

#[test]
fn a_device_that_always_loses_bears_nothing() {
    for lost in [0.01, 0.5, 1.0] {
        let (found, tried) = found(&[goal(0.0), goal(0.005)], |_, _| lost);
        for found in found {
            assert_eq!((found.lower_fps, found.upper_fps, found.ended), (None, Some(1000), Ended::MinLoad), "losing {lost}");
            assert_eq!(found.conditional_fps, None);
        }
        assert!(tried.len() <= 20, "{} trials", tried.len());
    }
}

#[test]
fn a_device_that_loses_a_little_always_has_a_pdr_and_no_ndr() {
    let (found, _) = found(&[goal(0.0), goal(0.005)], |load, _| if load > 2e6 { 0.3 } else { 0.001 });
    assert_eq!((found[0].lower_fps, found[0].ended), (None, Ended::MinLoad));
    brackets(&found[1], 2e6, 0.005);
}

#[test]
fn of_a_loss_inversion_the_lower_load_bounds() {
    // Loses between one and two million, bears up to five million again.
    let hole = |load: f64, _| if (1e6..2e6).contains(&load) || load > 5e6 { 0.1 } else { 0.0 };
    let (found, tried) = found(&[goal(0.0)], hole);
    let (lower, upper) = (found[0].lower_fps.unwrap(), found[0].upper_fps.unwrap());
    let in_order = hole(lower as f64, 0) == 0.0 && hole(upper as f64, 0) > 0.0;
    assert!(in_order && lower < upper, "{lower} to {upper}");
    // Whatever was tried below the lower bound was borne.
    assert!(tried.iter().all(|(load, _)| *load > lower || hole(*load as f64, 0) == 0.0));
}

/// Numbers that look random, the same each time (Knuth's multiplier of MMIX).
fn noise(seed: u64) -> f64 {
    let mixed = seed.wrapping_add(1).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (mixed >> 33) as f64 / f64::from(1_u32 << 31)
}

#[test]
fn bad_luck_in_a_third_of_the_trials_moves_the_median_little() {
    let truth = 3e6;
    let unlucky = |load: f64, trial: usize| if noise(trial as u64) < 0.3 { 0.02 } else { (1.0 - truth / load).max(0.0) };
    let median = Goal { exceed_ratio: 0.5, duration_sum: ms(21_000), relative_width: 0.005, ..goal(0.0) };
    let (found, tried) = found(&[median], unlucky);
    let lower = found[0].lower_fps.expect("a bound") as f64;
    assert!((lower / truth - 1.0).abs() < 0.02, "{lower} for {truth} in {} trials", tried.len());
    assert!(tried.len() < TRIALS, "it ended by itself");
    // The strict goal takes every bad trial for an upper bound.
    let strict = super::search(&mut Device { loss: unlucky, tried: Vec::new() }, &(1000..=MAX), &[goal(0.0)], TRIALS);
    let Ok(strict) = strict;
    assert!(strict[0].lower_fps.is_none_or(|fps| (fps as f64) < truth * 0.98), "{strict:?}");
}

#[test]
fn no_more_trials_are_made_than_allowed_and_what_is_known_is_kept() {
    let mut device = Device { loss: saturated(3e6), tried: Vec::new() };
    let Ok(found) = search(&mut device, &(1000..=MAX), &[goal(0.0)], 4);
    assert_eq!((device.tried.len(), found[0].ended), (4, Ended::Trials));
}

#[test]
fn whatever_a_device_does_the_search_ends_with_bounds_in_order() {
    for seed in 0..300 {
        let coin = |trial: usize, of: u64| noise(seed << 32 | of << 16 | trial as u64);
        let loss = |_: f64, trial: usize| if coin(trial, 0) < 0.5 { 0.0 } else { coin(trial, 1) };
        // So narrow that single frames a second are told apart, so few loads that all of them are tried.
        let narrow = Goal { relative_width: 1e-4, exceed_ratio: 0.5, duration_sum: ms(5000), ..goal(0.0) };
        let (max, trials_max) = (1000 + seed, 20);
        let mut device = Device { loss, tried: Vec::new() };
        let Ok(found) = search(&mut device, &(1000..=max), &[narrow, Goal { loss_ratio: 0.5, ..narrow }], trials_max);
        assert!(device.tried.len() <= trials_max, "{} trials", device.tried.len());
        assert!(device.tried.iter().all(|(load, _)| (1000..=max).contains(load)));
        for found in found {
            assert!(found.lower_fps.zip(found.upper_fps).is_none_or(|(lower, upper)| lower < upper), "{found:?}");
        }
    }
}

#[test]
fn an_error_of_the_tester_ends_the_search() {
    struct Broken;
    impl Tester for Broken {
        type Error = &'static str;
        fn trial(&mut self, _: u64, _: Duration) -> Result<Observed, &'static str> {
            Err("unplugged")
        }
    }
    assert_eq!(search(&mut Broken, &(1..=10), &[goal(0.0)], 9), Err("unplugged"));
}

#[test]
fn short_trials_come_first_and_only_full_ones_decide() {
    let (_, tried) = found(&[goal(0.0)], saturated(1e6));
    assert_eq!(tried[0], (MAX, ms(250)));
    assert!(tried.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{tried:?}");
    let full = tried.iter().filter(|(_, duration)| *duration == ms(1000)).count();
    assert!((2..=8).contains(&full), "{full} full trials");
}

#[test]
fn loads_are_classified_as_the_draft_says() {
    let trial = |ms_long, loss_ratio| Observed { duration: ms(ms_long), loss_ratio };
    let median = Goal { exceed_ratio: 0.5, duration_sum: ms(4000), ..goal(0.0) };
    let of = |trials: &[Observed]| classify(trials, &median);
    assert_eq!(of(&[]), Class::Undecided);
    assert_eq!(of(&[trial(1000, 0.0)]), Class::Undecided);
    assert_eq!(of(&[trial(1000, 0.0); 2]), Class::Lower, "half of the time is enough");
    assert_eq!(of(&[trial(1000, 0.1); 2]), Class::Undecided, "the other half may still be good");
    assert_eq!(of(&[trial(1000, 0.1); 3]), Class::Upper);
    // Good short trials decide nothing; bad ones count, unless good ones make up for them.
    assert_eq!(of(&[trial(500, 0.0); 20]), Class::Undecided);
    assert_eq!(of(&[trial(500, 0.1); 5]), Class::Upper);
    assert_eq!(of(&[trial(500, 0.1), trial(500, 0.0), trial(1000, 0.0), trial(1000, 0.0)]), Class::Lower);
    let strict = goal(0.0);
    assert_eq!(classify(&[trial(1000, 0.0)], &strict), Class::Lower);
    assert_eq!(classify(&[trial(1000, 0.0), trial(1000, 1e-9)], &strict), Class::Upper);
    assert_eq!(classify(&[trial(250, 1e-9)], &strict), Class::Upper);
}

#[test]
fn a_search_takes_about_as_long_as_was_said() {
    let goals = [goal(0.0), goal(0.005)];
    let expected = expected_duration(&goals).as_secs_f64();
    for capacity in [20_000.0, 3.3e6, 14.8e6] {
        let (_, tried) = found(&goals, saturated(capacity));
        let took: f64 = tried.iter().map(|(_, duration)| duration.as_secs_f64()).sum();
        assert!((0.3..3.0).contains(&(took / expected)), "{took} s, and {expected} s were expected");
    }
}
