use super::{answers::Script, diff};
use crate::recording::{Access, Call, CallKind, Failure, Operation, Space, Step, What};
use vfwire_core::bus::BusEvent;

fn at(offset: u32, value: u64) -> Access {
    Access { space: Space::Bar(0), width_bytes: 4, offset, value }
}

fn read(offset: u32, value: u64, times: u32) -> What {
    What::Read { access: at(offset, value), times }
}

fn write(offset: u32, value: u64) -> What {
    What::Write(at(offset, value))
}

fn script(steps: impl IntoIterator<Item = What>) -> Script {
    let mut script = Script::default();
    next(&mut script, steps);
    script
}

fn next(script: &mut Script, steps: impl IntoIterator<Item = What>) {
    let mut call = Call::new(0, CallKind::Poll);
    call.steps = steps.into_iter().map(|what| Step { at_ns: 0, what }).collect();
    script.begin(&call);
}

/// How often a word must be read until it has a value; nothing where it never has.
fn reads_until(script: &mut Script, offset: u32, value: u64) -> Option<usize> {
    (1..1000).find(|_| script.read(at(offset, 0)) == Ok(value))
}

#[test]
fn a_wait_that_ended_ends() {
    let mut script = script([read(0, 7, 1_000_000), read(0, 8, 1)]);
    assert_eq!(script.read(at(0, 0)), Ok(7));
    assert!(reads_until(&mut script, 0, 8).is_some_and(|reads| reads < 20));
    assert_eq!(script.read(at(0, 0)), Ok(8), "and stays there");
}

#[test]
fn a_wait_that_was_given_up_is_given_up() {
    let mut script = script([read(0, 7, 50), write(4, 1), read(0, 8, 1)]);
    assert_eq!(reads_until(&mut script, 0, 8), None);
    script.change(write(4, 1)).expect("it is done");
    assert_eq!(script.read(at(0, 0)), Ok(8));
}

#[test]
fn other_values_and_other_steps_do_not_lead_astray() {
    let steps = || [read(0, 1, 1), write(4, 1), read(0, 2, 1), write(8, 1), read(0, 3, 1)];
    let mut other_value = script(steps());
    other_value.change(write(4, 99)).expect("it is done");
    assert_eq!(other_value.read(at(0, 0)), Ok(2));
    let mut left_out = script(steps());
    left_out.change(write(8, 1)).expect("it is done");
    assert_eq!(left_out.read(at(0, 0)), Ok(3));
    let mut in_addition = script(steps());
    in_addition.change(write(12, 1)).expect("it is done");
    assert_eq!(in_addition.read(at(0, 0)), Ok(1));
    in_addition.change(write(4, 1)).expect("it is done");
    assert_eq!(in_addition.read(at(0, 0)), Ok(2));
}

#[test]
fn a_word_that_was_not_read_in_this_call_reads_as_before() {
    let mut script = script([read(0, 5, 1)]);
    assert_eq!((script.read(at(0, 0)), script.read(at(16, 0))), (Ok(5), Ok(0)));
    next(&mut script, []);
    assert_eq!(script.read(at(0, 0)), Ok(5));
}

#[test]
fn what_the_bus_could_not_do_it_cannot_do_again() {
    let failure = |operation, gone| Failure { operation, gone, text: "no".into() };
    let failed = |operation, gone| What::Failed(Box::new(failure(operation, gone)));
    let config_read = Operation::ConfigRead { offset: 4, width_bytes: 2 };
    let mut script = script([failed(Operation::Reset, true), What::Event(BusEvent::Error), failed(config_read, false), What::Reset]);
    assert_eq!(script.poll_event(), Some(BusEvent::Error));
    assert_eq!(script.poll_event(), None);
    assert_eq!(script.change(What::Reset), Err(failure(Operation::Reset, true)));
    let word = Access { space: Space::Config, width_bytes: 2, offset: 4, value: 0 };
    assert_eq!(script.read(word), Err(failure(config_read, false)));
    assert_eq!(script.change(What::Reset), Ok(()));
    assert_eq!(script.end().len(), 4);
}

fn compare(recorded: &[What], today: &[What]) -> Vec<diff::Hunk> {
    let recorded: Vec<_> = recorded.iter().map(|what| Step { at_ns: 0, what: what.clone() }).collect();
    diff::compare(&recorded, today, 0, &mut diff::Translation::default())
}

#[test]
fn polls_and_places_of_memory_are_no_differences() {
    let dma = |iova| What::Dma { iova, len_bytes: 0x2000 };
    let then = [dma(0x1_0000_f000), read(0, 1, 500), read(0, 2, 1), write(4, 0x0000_f080), write(8, 1), write(12, 3)];
    let today = [dma(0x7_ffff_f000), read(0, 1, 3), read(0, 2, 1), write(4, 0xffff_f080), write(8, 7), write(12, 3)];
    assert_eq!(compare(&then, &today), []);
    let beyond = [dma(0x7_ffff_f000), read(0, 2, 1), write(4, 0xffff_f081), write(8, 7), write(12, 3)];
    let [hunk] = &compare(&then, &beyond)[..] else { panic!("the same place of the memory, not any") };
    assert_eq!((&hunk.recorded[..], &hunk.today[..]), (&[write(4, 0x0000_f080)][..], &[write(4, 0xffff_f081)][..]));
}

#[test]
fn differences_are_as_few_as_can_be() {
    let then: Vec<_> = (0..10).map(|word| write(word * 4, 0)).collect();
    let mut today = then.clone();
    today.remove(2);
    today.insert(5, write(100, 0));
    let hunks = compare(&then, &today);
    let told: Vec<_> = hunks.iter().map(|hunk| (hunk.after.as_ref(), &hunk.recorded[..], &hunk.today[..])).collect();
    assert_eq!(told, [(Some(&then[1]), &then[2..3], &[][..]), (Some(&then[5]), &[][..], &[write(100, 0)][..])]);
    assert_eq!(compare(&then, &[]).len(), 1);
    assert_eq!(compare(&[], &then)[0].after, None);
}
