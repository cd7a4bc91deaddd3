//! What was done and what is done, side by side.

use crate::recording::{Access, FIRST_STEPS, Step, What};

/// Cells of the table that finds the longest common sequence. Longer calls are compared up to their first difference.
const CELLS_MAX: usize = 4 << 20;
/// Steps of one side that a hunk shows.
const SHOWN_MAX: usize = 64;

/// Steps that are not the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hunk {
    /// The last step before them that is the same.
    pub after: Option<What>,
    /// What was recorded.
    pub recorded: Vec<What>,
    /// What is done in its place.
    pub today: Vec<What>,
}

/// Where DMA memory was then, and is today.
#[derive(Clone, Debug, Default)]
pub(super) struct Translation {
    recorded: Vec<(u64, u64)>,
    today: Vec<u64>,
}

impl Translation {
    /// A region was recorded.
    pub(super) fn learn_recorded(&mut self, iova: u64, len_bytes: u64) {
        self.recorded.push((iova, len_bytes));
    }

    /// The next region is at this address today.
    pub(super) fn learn_today(&mut self, iova: u64) {
        self.today.push(iova);
    }

    /// The values that a recorded one may have today: itself, and where it is part of an address in a recorded region, the same part of
    /// the address today.
    pub(super) fn of(&self, value: u64, width_bytes: u8) -> impl Iterator<Item = u64> {
        const LOW: u64 = u32::MAX as u64;
        let regions = self.recorded.iter().zip(&self.today);
        let address = move |((then, len_bytes), today): (&(u64, u64), &u64)| match width_bytes {
            8 => [value.checked_sub(*then).filter(|offset| offset < len_bytes).map(|offset| today.wrapping_add(offset)), None],
            4 => {
                let offset = (value & LOW).wrapping_sub(*then) & LOW;
                let low = (offset < *len_bytes).then(|| today.wrapping_add(offset) & LOW);
                [low, (value == then >> 32).then_some(today >> 32)]
            }
            _ => [None; 2],
        };
        std::iter::once(value).chain(regions.flat_map(address).flatten())
    }

    fn is_same(&self, recorded: &What, today: &What) -> bool {
        match (recorded, today) {
            // A read's value comes from the recording.
            (What::Read { access: recorded, .. }, What::Read { access: today, .. }) => recorded.is_at(today),
            (What::Write(recorded), What::Write(today)) => {
                recorded.is_at(today) && self.of(recorded.value, recorded.width_bytes).any(|value| value == today.value)
            }
            (What::Dma { len_bytes: recorded, .. }, What::Dma { len_bytes: today, .. }) => recorded == today,
            _ => recorded == today,
        }
    }
}

/// Where the steps of a call are not the recorded ones. Of a call that lost steps, only those before them are compared.
pub(super) fn compare(recorded: &[Step], today: &[What], lost_steps: u64, translation: &mut Translation) -> Vec<Hunk> {
    let recorded: Vec<&What> = recorded.iter().map(|step| &step.what).collect();
    for what in &recorded {
        if let What::Dma { iova, len_bytes } = what {
            translation.learn_recorded(*iova, *len_bytes);
        }
    }
    for what in today {
        if let What::Dma { iova, .. } = what {
            translation.learn_today(*iova);
        }
    }
    let (mut recorded, mut today) = (folded(recorded), folded(today.iter().collect()));
    if lost_steps != 0 {
        let kept = FIRST_STEPS.min(recorded.len()).min(today.len());
        recorded.truncate(kept);
        today.truncate(kept);
    }
    hunks(&recorded, &today, |a, b| translation.is_same(a, b))
}

/// Reads of one word in turn are one: how often it was polled is a matter of time.
fn folded(steps: Vec<&What>) -> Vec<&What> {
    let same = |a: &What, b: &What| matches!((a, b), (What::Read { access: a, .. }, What::Read { access: b, .. }) if Access::is_at(a, b));
    let mut folded: Vec<&What> = Vec::new();
    for step in steps {
        match folded.last_mut() {
            Some(last) if same(last, step) => *last = step,
            _ => folded.push(step),
        }
    }
    folded
}

/// The differences that leave the longest common sequence.
fn hunks(recorded: &[&What], today: &[&What], is_same: impl Fn(&What, &What) -> bool) -> Vec<Hunk> {
    let begin = recorded.iter().zip(today).take_while(|(a, b)| is_same(a, b)).count();
    let both = recorded.len().min(today.len()) - begin;
    let end = recorded.iter().rev().zip(today.iter().rev()).take(both).take_while(|(a, b)| is_same(a, b)).count();
    let (a, b) = (&recorded[begin..recorded.len() - end], &today[begin..today.len() - end]);
    let before = |at: usize| at.checked_sub(1).map(|at| recorded[at].clone());
    let clone = |steps: &[&What]| steps.iter().take(SHOWN_MAX).map(|what| (*what).clone()).collect::<Vec<_>>();
    if a.is_empty() && b.is_empty() {
        return Vec::new();
    }
    if a.len().saturating_mul(b.len()) > CELLS_MAX {
        return vec![Hunk { after: before(begin), recorded: clone(a), today: clone(b) }];
    }
    let common = common_lengths(a, b, &is_same);
    let (mut i, mut j, mut hunks) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        let (first_a, first_b) = (i, j);
        while (i < a.len() || j < b.len()) && !(i < a.len() && j < b.len() && is_same(a[i], b[j])) {
            if j == b.len() || (i < a.len() && common[i + 1][j] >= common[i][j + 1]) {
                i += 1;
            } else {
                j += 1;
            }
        }
        if (first_a, first_b) != (i, j) {
            hunks.push(Hunk { after: before(begin + first_a), recorded: clone(&a[first_a..i]), today: clone(&b[first_b..j]) });
        }
        while i < a.len() && j < b.len() && is_same(a[i], b[j]) {
            (i, j) = (i + 1, j + 1);
        }
    }
    hunks
}

/// For each pair of ends, how long their longest common sequence is.
fn common_lengths(a: &[&What], b: &[&What], is_same: impl Fn(&What, &What) -> bool) -> Vec<Vec<u32>> {
    let mut common = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] = if is_same(a[i], b[j]) { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    common
}
