//! Numbered frames with pseudo-random content, and the checker that compares every byte of what comes back.
//!
//! Pure: no socket, no clock. Whoever sends the frames decides about windows and patience.

use std::ops::RangeInclusive;

use anyhow::{Result, bail};

pub(super) type Mac = [u8; 6];

pub(super) const BROADCAST: Mac = [0xff; 6];
/// IEEE 802, local experimental ethertype 1: nothing else on the wire uses it.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];
/// A VLAN tag (IEEE 802.1Q): this, and the VLAN.
const VLAN_ETHERTYPE: [u8; 2] = [0x81, 0x00];
const TAG_BYTES: usize = 4;
/// After the addresses.
const TAG_AT: usize = 12;
/// Addresses, ethertype, stream and sequence number.
const HEADER_BYTES: usize = 22;
const SEQUENCE_AT: usize = 18;

/// What a forwarder does to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    SwapMacs,
}

/// A VLAN tag that frames carry when sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// The device takes it off before it gives the frame to its driver.
    Stripped(u16),
    /// It stays in the frame.
    Kept(u16),
}

impl Tag {
    fn bytes(self) -> [u8; TAG_BYTES] {
        let (Self::Stripped(id) | Self::Kept(id)) = self;
        let [high, low] = id.to_be_bytes();
        [VLAN_ETHERTYPE[0], VLAN_ETHERTYPE[1], high, low]
    }
}

/// A numbered sequence of frames that both sides can compute.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    /// Tells streams apart and seeds their content.
    pub(super) id: u32,
    pub(super) frames: u32,
    /// Ethernet frame without FCS and without VLAN tag.
    pub(super) lengths_bytes: RangeInclusive<usize>,
    pub(super) to: Mac,
    pub(super) from: Mac,
    pub(super) tag: Option<Tag>,
    pub(super) change: Change,
}

impl Stream {
    /// The frame as it is put on the wire.
    pub(super) fn sent(&self, sequence: u32) -> Vec<u8> {
        let mut frame = self.frame(sequence, self.to, self.from);
        frame.splice(TAG_AT..TAG_AT, self.tag.iter().flat_map(|tag| tag.bytes()));
        frame
    }

    /// The frame as it must come back.
    pub(super) fn expected(&self, sequence: u32) -> Vec<u8> {
        let mut frame = match self.change {
            Change::Nothing => self.frame(sequence, self.to, self.from),
            Change::SwapMacs => self.frame(sequence, self.from, self.to),
        };
        frame.splice(TAG_AT..TAG_AT, self.tag_back().iter().flat_map(|tag| tag.bytes()));
        frame
    }

    /// The tag that frames must have when they come back.
    fn tag_back(&self) -> Option<Tag> {
        self.tag.filter(|tag| matches!(tag, Tag::Kept(_)))
    }

    fn frame(&self, sequence: u32, to: Mac, from: Mac) -> Vec<u8> {
        let length = self.length_bytes(sequence);
        let mut frame = Vec::with_capacity(length + 8);
        frame.extend(to);
        frame.extend(from);
        frame.extend(ETHERTYPE);
        frame.extend(self.id.to_be_bytes());
        frame.extend(sequence.to_be_bytes());
        let mut state = (u64::from(self.id) << 32) | u64::from(sequence);
        while frame.len() < length {
            frame.extend(next_random(&mut state).to_le_bytes());
        }
        frame.truncate(length);
        frame
    }

    /// Walks through all lengths of the range in a scattered order (the step is a prime that divides no range used here).
    fn length_bytes(&self, sequence: u32) -> usize {
        let (first, last) = (*self.lengths_bytes.start(), *self.lengths_bytes.end());
        first + (sequence as usize * 7919) % (last - first + 1)
    }
}

/// splitmix64.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Compares what comes back with what was sent.
pub(super) struct Checker<'a> {
    stream: &'a Stream,
    seen: Vec<bool>,
    sent: u32,
    good: u32,
    newest: Option<u32>,
    corrupted: u32,
    duplicated: u32,
    reordered: u32,
    problem: Option<String>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(stream: &'a Stream) -> Self {
        let seen = vec![false; stream.frames as usize];
        Self { stream, seen, sent: 0, good: 0, newest: None, corrupted: 0, duplicated: 0, reordered: 0, problem: None }
    }

    /// The next frame to send, counted as sent; `None` after the last.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        (self.sent < self.stream.frames).then(|| {
            self.sent += 1;
            self.stream.sent(self.sent - 1)
        })
    }

    /// Frames sent that have not come back in any state.
    pub(super) fn outstanding(&self) -> u32 {
        self.sent.saturating_sub(self.good + self.corrupted)
    }

    /// How many frames were sent.
    pub(super) fn sent(&self) -> u32 {
        self.sent
    }

    /// How many frames came back whole, each once.
    pub(super) fn good(&self) -> u32 {
        self.good
    }

    /// The newest frame that came back.
    pub(super) fn newest(&self) -> Option<u32> {
        self.newest
    }

    /// The frames that were sent and have not come back, in order.
    pub(super) fn missing(&self) -> impl Iterator<Item = u32> {
        (0..self.sent).zip(&self.seen).filter(|(_, seen)| !**seen).map(|(sequence, _)| sequence)
    }

    /// Takes a frame from the wire. Frames of others (another ethertype or stream) are not looked at.
    pub(super) fn take(&mut self, frame: &[u8]) {
        // A tag too many or too few makes a frame wrong, not another's.
        let tag_bytes = if frame.get(TAG_AT..14) == Some(&VLAN_ETHERTYPE) { TAG_BYTES } else { 0 };
        let Some(header) = frame.get(tag_bytes..tag_bytes + HEADER_BYTES) else { return };
        if header[TAG_AT..14] != ETHERTYPE || header[14..SEQUENCE_AT] != self.stream.id.to_be_bytes() {
            return;
        }
        let sequence = u32::from_be_bytes([header[18], header[19], header[20], header[21]]);
        if sequence >= self.sent || self.stream.expected(sequence) != frame {
            self.corrupted += 1;
            let problem = describe_difference(&self.stream.expected(sequence), frame, sequence);
            self.problem.get_or_insert(problem);
            return;
        }
        if std::mem::replace(&mut self.seen[sequence as usize], true) {
            self.duplicated += 1;
            self.problem.get_or_insert(format!("frame {sequence} came twice"));
            return;
        }
        if let Some(newest) = self.newest.filter(|newest| *newest > sequence) {
            self.reordered += 1;
            self.problem.get_or_insert(format!("frame {sequence} came after {newest}"));
        }
        self.newest = self.newest.max(Some(sequence));
        self.good += 1;
    }

    /// An error unless every frame of the stream came back once, whole and in order.
    pub(super) fn verdict(&self) -> Result<()> {
        if self.verdict_but_for_losses()? < self.stream.frames {
            bail!("{}", self.describe());
        }
        Ok(())
    }

    /// How many frames came back; an error unless they did so once, whole and in order.
    pub(super) fn verdict_but_for_losses(&self) -> Result<u32> {
        if [self.corrupted, self.duplicated, self.reordered] != [0, 0, 0] {
            bail!("{}", self.describe());
        }
        Ok(self.good)
    }

    fn describe(&self) -> String {
        let Self { sent, good, corrupted, duplicated, reordered, .. } = self;
        let lost = self.outstanding();
        let problem = self.problem.clone().or_else(|| {
            let first = self.seen.iter().position(|seen| !seen)?;
            Some(format!("frame {first} of {} bytes is missing", self.stream.sent(u32::try_from(first).ok()?).len()))
        });
        format!(
            "of {} frames, {sent} sent: {good} good, {lost} lost, {corrupted} corrupted, {duplicated} duplicated, {reordered} reordered; first: {}",
            self.stream.frames,
            problem.unwrap_or_default(),
        )
    }
}

fn describe_difference(expected: &[u8], frame: &[u8], sequence: u32) -> String {
    match expected.iter().zip(frame).position(|(a, b)| a != b) {
        Some(at) => format!("frame {sequence} differs at byte {at}: {:#04x} instead of {:#04x}", frame[at], expected[at]),
        None => format!("frame {sequence} has {} bytes instead of {}", frame.len(), expected.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Checker, Mac, Stream, Tag};

    const A: Mac = [2, 0, 0, 0, 0, 1];
    const B: Mac = [2, 0, 0, 0, 0, 2];

    fn stream(frames: u32) -> Stream {
        Stream { id: 7, frames, lengths_bytes: 60..=1514, to: A, from: B, tag: None, change: Change::SwapMacs }
    }

    /// The frames that should come back, passed through `tamper`, and the verdict about them.
    fn judge(tamper: impl FnOnce(&mut Vec<Vec<u8>>)) -> Result<(), String> {
        let stream = stream(100);
        let mut checker = Checker::new(&stream);
        while checker.next().is_some() {}
        let mut frames = (0..100).map(|sequence| stream.expected(sequence)).collect();
        tamper(&mut frames);
        frames.iter().for_each(|frame| checker.take(frame));
        checker.verdict().map_err(|error| error.to_string())
    }

    #[track_caller]
    fn assert_refused(verdict: Result<(), String>, words: &str) {
        let error = verdict.expect_err("the checker let it pass");
        assert!(error.contains(words), "{words:?} is not in {error:?}");
    }

    #[test]
    fn whole_frames_in_order_pass() {
        assert_eq!(judge(|_| ()), Ok(()));
    }

    #[test]
    fn any_changed_byte_is_corruption() {
        for at in [0, 6, 22, 40, 59] {
            assert_refused(judge(|frames| frames[9][at] ^= 1), "1 corrupted");
        }
        assert_refused(judge(|frames| frames[9][21] = 200), "1 corrupted");
        assert_refused(judge(|frames| *frames[9].last_mut().unwrap() ^= 0x80), "1 corrupted");
    }

    #[test]
    fn a_change_of_what_tells_the_frame_apart_is_a_loss() {
        assert_refused(judge(|frames| frames[9][13] ^= 1), "1 lost");
        assert_refused(judge(|frames| frames[9][15] ^= 1), "1 lost");
    }

    #[test]
    fn lengths_are_compared() {
        assert_refused(judge(|frames| frames[9].truncate(59)), "1 corrupted");
        assert_refused(judge(|frames| frames[9].push(0)), "1 corrupted");
    }

    #[test]
    fn lost_duplicated_and_reordered_frames_are_noticed() {
        assert_refused(judge(|frames| drop(frames.remove(50))), "1 lost");
        assert_refused(judge(|frames| drop(frames.pop())), "frame 99 of");
        assert_refused(judge(|frames| frames.push(frames[50].clone())), "1 duplicated");
        assert_refused(judge(|frames| frames.swap(50, 51)), "1 reordered");
    }

    #[test]
    fn losses_can_be_allowed_alone() {
        let stream = stream(3);
        let mut checker = Checker::new(&stream);
        while checker.next().is_some() {}
        checker.take(&stream.expected(0));
        checker.take(&stream.expected(2));
        assert_eq!(checker.verdict_but_for_losses().unwrap(), 2);
        assert!(checker.verdict().is_err());
        checker.take(&stream.expected(2));
        assert!(checker.verdict_but_for_losses().is_err());
    }

    #[test]
    fn frames_that_were_not_sent_yet_are_refused() {
        let stream = stream(2);
        let mut checker = Checker::new(&stream);
        checker.next();
        checker.take(&stream.expected(1));
        assert_refused(checker.verdict().map_err(|error| error.to_string()), "1 corrupted");
    }

    #[test]
    fn frames_of_others_are_not_counted() {
        assert_eq!(judge(|frames| frames.insert(3, vec![0xff; 60])), Ok(()));
        assert_eq!(judge(|frames| frames.insert(3, vec![0xff; 5])), Ok(()));
    }

    #[test]
    fn every_length_occurs_and_content_differs() {
        let stream = stream(1455);
        let mut lengths: Vec<_> = (0..1455).map(|sequence| stream.sent(sequence).len()).collect();
        lengths.sort_unstable();
        assert!(lengths.iter().copied().eq(60..=1514));
        assert_ne!(stream.sent(0)[22..60], stream.sent(1)[22..60]);
    }

    #[test]
    fn a_tag_is_sent_and_expected_back_only_where_it_is_kept() {
        let tagged = |tag| Stream { tag: Some(tag), ..stream(1) };
        let stripped = tagged(Tag::Stripped(100));
        let sent = stripped.sent(0);
        assert_eq!(sent[12..18], [0x81, 0, 0, 100, 0x88, 0xb5]);
        assert_eq!(sent.len(), stripped.expected(0).len() + 4);
        assert_eq!(stripped.expected(0)[..12], [B, A].concat());
        let kept = tagged(Tag::Kept(100));
        assert_eq!(kept.sent(0), sent);
        assert_eq!(kept.expected(0)[12..], sent[12..]);
        let judge = |stream: &Stream, frame: &[u8]| {
            let mut checker = Checker::new(stream);
            checker.next();
            checker.take(frame);
            checker.verdict().map_err(|error| error.to_string())
        };
        assert_eq!(judge(&kept, &kept.expected(0)), Ok(()));
        assert_refused(judge(&kept, &stripped.expected(0)), "1 corrupted");
        assert_refused(judge(&stripped, &kept.expected(0)), "1 corrupted");
    }
}
