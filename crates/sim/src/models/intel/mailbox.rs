//! The flags and the memory between VF and PF ("Intel 82576EB Gigabit Ethernet Controller Datasheet", rev. 2.63, registers VFMailbox
//! and VMBMEM; "Intel 82599 10 GbE Controller Datasheet", rev. 3.4, registers VFMailbox and VFMBMEM).
//!
//! The PF is software on another processor: its acknowledgement and its answer arrive some reads of the flags, or some time, after the
//! request. No step is needed for them, so a driver that waits for an answer in the only thread gets it.

use super::options::ReplyDelay;
use crate::models::Violations;
use std::time::Instant;
use vfwire_spec::intel::mailbox::{ACK, CLEAR_ON_READ, Message, PFACK, PFSTS, REQ, RSTD, RSTI, VFU, WORDS};

/// A PF, as its VF's mailbox knows it.
pub(crate) trait AnswersVf {
    /// It answers nothing now, nor acknowledges.
    fn is_silent(&self) -> bool;
    /// It goes down or comes up.
    fn set_down(&mut self, down: bool);
    /// What it answers, if anything.
    fn answer(&mut self, message: Message) -> Option<Message>;
    /// What it says when the VF has read a message.
    fn message_was_read(&mut self) -> Option<Message>;
}

#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(crate) memory: [u32; WORDS],
    flags: u32,
    delay: ReplyDelay,
    request: Option<Request>,
    /// What the PF has to say as soon as it can have the memory.
    reply: Option<Message>,
    /// Flag reads after which a PF that is down comes back.
    returns_after: Option<u32>,
}

/// A request that the PF has not answered yet.
#[derive(Debug)]
struct Request {
    message: Message,
    acknowledged: bool,
    due: Due,
}

#[derive(Debug)]
enum Due {
    AfterPolls(u32),
    At(Option<Instant>),
}

impl Due {
    fn new(delay: ReplyDelay) -> Self {
        match delay {
            ReplyDelay::Polls(polls) => Self::AfterPolls(polls),
            ReplyDelay::Time(time) => Self::At(Instant::now().checked_add(time)),
        }
    }

    /// Counts one poll.
    fn is_over(&mut self) -> bool {
        match self {
            Self::AfterPolls(left @ 1..) => {
                *left -= 1;
                *left == 0
            }
            Self::AfterPolls(0) => true,
            // A delay beyond the end of time never is.
            Self::At(at) => at.is_some_and(|at| Instant::now() >= at),
        }
    }
}

impl Mailbox {
    pub(crate) fn new(delay: ReplyDelay) -> Self {
        Self { memory: [0; WORDS], flags: 0, delay, request: None, reply: None, returns_after: None }
    }

    /// The VF was reset: what was under way is forgotten. RSTI and RSTD are the PF's and stay.
    pub(crate) fn reset(&mut self) {
        self.flags &= RSTI | RSTD;
        self.request = None;
        self.reply = None;
    }

    /// The driver reads the flags. What the PF had to do by now is done first.
    pub(crate) fn read_flags(&mut self, pf: &mut impl AnswersVf) -> u32 {
        self.poll_return(pf);
        self.poll_request(pf);
        self.deliver();
        let seen = self.flags;
        self.flags &= !CLEAR_ON_READ;
        seen
    }

    /// The driver writes the flags.
    pub(crate) fn write_flags(&mut self, value: u32, pf: &mut impl AnswersVf, violations: &mut Violations) {
        let held = self.flags & VFU != 0;
        self.flags = self.flags & !VFU | value & VFU;
        if value & !(REQ | ACK | VFU) != 0 {
            violations.record("only REQ, ACK and VFU of the mailbox are written", format_args!("{value:#x}"));
        }
        if value & ACK != 0
            && let Some(message) = pf.message_was_read()
        {
            self.reply = Some(message);
        }
        if value & REQ == 0 {
            return;
        }
        if !held {
            violations.record("a request is made while the VF holds the mailbox", format_args!("{value:#x}"));
        }
        // A newer request takes the place of one that the PF has not read: there is only one memory.
        self.reply = None;
        self.request = Some(Request { message: Message::new(self.memory), acknowledged: false, due: Due::new(self.delay) });
    }

    pub(crate) fn write_memory(&mut self, word: usize, value: u32, violations: &mut Violations) {
        if self.flags & VFU == 0 {
            violations.record("the mailbox is written while the VF holds it", format_args!("word {word} = {value:#x}"));
        }
        self.memory[word] = value;
    }

    /// The PF writes a message, as soon as the VF does not hold the memory.
    pub(crate) fn post(&mut self, message: Message) {
        self.reply = Some(message);
        self.deliver();
    }

    /// The PF goes down; with `returns_after` it comes back by itself, after so many reads of the flags.
    pub(crate) fn pf_is_down(&mut self, returns_after: Option<u32>) {
        self.flags = self.flags & !RSTD | RSTI;
        self.request = None;
        self.returns_after = returns_after;
    }

    /// The PF is up: its reset is over. It knows of no request that was made before.
    pub(crate) fn pf_is_up(&mut self) {
        self.request = None;
        self.flags = self.flags & !RSTI | RSTD;
        self.returns_after = None;
    }

    fn poll_return(&mut self, pf: &mut impl AnswersVf) {
        match &mut self.returns_after {
            Some(0) => {
                pf.set_down(false);
                self.pf_is_up();
            }
            Some(left) => *left -= 1,
            None => {}
        }
    }

    fn poll_request(&mut self, pf: &mut impl AnswersVf) {
        let Some(request) = &mut self.request else { return };
        if pf.is_silent() || !request.due.is_over() {
            return;
        }
        if !request.acknowledged {
            request.acknowledged = true;
            self.flags |= PFACK;
            if matches!(self.delay, ReplyDelay::Polls(1..)) {
                request.due = Due::new(self.delay);
                return;
            }
        }
        if let Some(request) = self.request.take() {
            self.reply = pf.answer(request.message);
        }
    }

    fn deliver(&mut self) {
        if self.flags & VFU == 0
            && let Some(message) = self.reply.take()
        {
            // No more than the message has: what else lies there stays.
            let words = message.words();
            self.memory[..words.len()].copy_from_slice(words);
            self.flags |= PFSTS;
        }
    }
}
