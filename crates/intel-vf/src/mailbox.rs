//! The mailbox to the PF: requests with deadlines, and the PF's own messages.
//!
//! One memory of 16 words is shared by both directions, so a message of the PF can overwrite a request before the PF has read it. A
//! request therefore watches for everything that may lie in the memory: its own answer, a late answer to an earlier request (dropped), a
//! notice of the PF (the request is sent again), a notice that the PF no longer knows this VF ([`Setback::BeginAgain`]).
//!
//! Three flags of VFMailbox are cleared by reading. Every read goes through one function that keeps what it saw until it is used.
//!
//! Life cycle: made at probe, lives as long as the port. It polls: interrupts are not used.

use vfwire_core::{
    bar::{Bar, Regs},
    error::BusError,
    life::Setback,
    poll::{Wait, poll_until},
};
use vfwire_spec::{
    intel::{
        mailbox::{ACK, CLEAR_ON_READ, FromPf, Message, PFACK, PFSTS, REQ, RSTD, RSTI, Reply, VFU, WORDS},
        request::RESET,
    },
    reg::{Reg, RegArray, Rw, RwClearOnRead},
};

/// Where a device has its mailbox.
#[derive(Clone, Copy, Debug)]
pub struct MailboxAt {
    /// VFMailbox: the flags.
    pub flags: Reg<u32, RwClearOnRead>,
    /// VMBMEM, VFMBMEM: the memory.
    pub memory: RegArray<u32, Rw>,
}

/// What a PF has to say unasked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// It has forgotten this VF, or is in reset. Says how it was noticed.
    BeginAgain(&'static str),
    /// Something has changed, perhaps the link.
    Changed,
}

const IN_RESET: &str = "the PF is in reset, or its interface was taken down";
const RESET_DONE: &str = "the PF was reset";
/// The code of no request (Linux `igb_main.c`, `igb_rcv_ack_from_vf`; `ixgbe_sriov.c`, `ixgbe_rcv_ack_from_vf`).
const NOTHING: u16 = 0;
const FORGOTTEN: &str = "the PF asks for a new start";

/// The VF's end of the mailbox.
#[derive(Debug)]
pub struct Mailbox<B> {
    regs: Regs<B>,
    at: MailboxAt,
    /// Flags that a read cleared and that were not used yet.
    seen: u32,
}

impl<B: Bar> Mailbox<B> {
    /// The mailbox of a device.
    pub fn new(regs: Regs<B>, at: MailboxAt) -> Self {
        Self { regs, at, seen: 0 }
    }

    /// The flags now, and those that earlier reads saw and cleared.
    fn flags(&mut self) -> Result<u32, BusError> {
        let now = self.regs.read(self.at.flags);
        if now == u32::MAX {
            return Err(BusError::Gone);
        }
        self.seen |= now & CLEAR_ON_READ;
        Ok(now | self.seen)
    }

    /// Whether the PF is in reset (or down): it answers nothing until that is over.
    ///
    /// # Errors
    /// [`BusError::Gone`].
    pub fn pf_in_reset(&mut self) -> Result<bool, BusError> {
        Ok(self.flags()? & RSTI != 0)
    }

    /// Whether anything hints at a reset or a message that [`notice`](Self::notice) has not reported yet.
    ///
    /// # Errors
    /// [`BusError::Gone`].
    pub fn has_news(&mut self) -> Result<bool, BusError> {
        Ok(self.flags()? & (RSTI | RSTD | PFSTS) != 0)
    }

    /// Forgets everything that the PF said: what came before a RESET means nothing after it.
    ///
    /// # Errors
    /// [`BusError::Gone`].
    pub fn forget(&mut self) -> Result<(), BusError> {
        self.flags()?;
        self.seen = 0;
        Ok(())
    }

    /// What the PF has to say, if anything. Never waits.
    ///
    /// # Errors
    /// [`BusError::Gone`].
    pub fn notice(&mut self) -> Result<Option<Notice>, BusError> {
        let flags = self.flags()?;
        if flags & RSTI != 0 {
            return Ok(Some(Notice::BeginAgain(IN_RESET)));
        }
        if flags & RSTD != 0 {
            self.seen &= !RSTD;
            return Ok(Some(Notice::BeginAgain(RESET_DONE)));
        }
        let notice = self.receive()?.and_then(|message| match FromPf::decode(message) {
            FromPf::Control { clear_to_send: true } => Some(Notice::Changed),
            FromPf::Control { clear_to_send: false } => Some(Notice::BeginAgain(FORGOTTEN)),
            FromPf::Reply(reply) if reply.lost_clear_to_send() && reply.code() != RESET => Some(Notice::BeginAgain(FORGOTTEN)),
            FromPf::Reply(_) => None,
        });
        Ok(notice)
    }

    /// Asks the PF and waits for its answer, which may be a refusal.
    ///
    /// # Errors
    /// [`Setback::BeginAgain`] where the PF no longer knows this VF; [`PortError::Timeout`](vfwire_core::error::PortError::Timeout) where no answer came; [`BusError::Gone`].
    pub fn request(&mut self, message: &Message, wait: Wait) -> Result<Reply, Setback> {
        let mut sent = false;
        poll_until(wait, || Ok(self.pursue(message, &mut sent)?))?.map_err(Setback::BeginAgain)
    }

    /// One look at the mailbox on behalf of a request: its answer, if it is there.
    fn pursue(&mut self, message: &Message, sent: &mut bool) -> Result<Option<Result<Reply, &'static str>>, BusError> {
        // RESET is what one sends to a PF that has forgotten: nothing but its own answer ends it.
        let begins = message.header().code() == RESET;
        if self.flags()? & RSTI != 0 {
            // Whatever lies in the memory is lost; a RESET that was sent is not answered any more.
            let was_sent = std::mem::take(sent);
            return Ok((!begins || was_sent).then_some(Err(IN_RESET)));
        }
        match self.receive()?.map(FromPf::decode) {
            Some(FromPf::Control { clear_to_send: false }) if !begins => return Ok(Some(Err(FORGOTTEN))),
            // It lies where our request lay, which the PF may not have read.
            Some(FromPf::Control { .. }) => *sent = false,
            Some(FromPf::Reply(reply)) if *sent && reply.code() == message.header().code() => {
                let forgotten = reply.lost_clear_to_send() && !begins;
                return Ok(Some(if forgotten { Err(FORGOTTEN) } else { Ok(reply) }));
            }
            // A PF answers whoever takes note of its message uninitialised with a refusal of nothing, where our request may have lain.
            Some(FromPf::Reply(reply)) if reply.lost_clear_to_send() && reply.code() == NOTHING => {
                if !begins {
                    return Ok(Some(Err(FORGOTTEN)));
                }
                *sent = false;
            }
            Some(FromPf::Reply(_)) | None => {}
        }
        if !*sent {
            *sent = self.send(message)?;
        }
        Ok(None)
    }

    /// Takes the memory for us. False where the PF holds it.
    fn take_memory(&mut self) -> Result<bool, BusError> {
        self.regs.write(self.at.flags, VFU);
        Ok(self.flags()? & VFU != 0)
    }

    /// Writes a request, unless the PF holds the memory or a message of it lies there unread.
    fn send(&mut self, message: &Message) -> Result<bool, BusError> {
        if !self.take_memory()? || self.seen & PFSTS != 0 {
            return Ok(false);
        }
        self.seen &= !PFACK;
        for (index, &word) in (0..).zip(message.words()) {
            self.regs.write(self.at.memory.index(index), word);
        }
        // Gives the memory back, too.
        self.regs.write(self.at.flags, REQ);
        Ok(true)
    }

    /// The PF's message, if one lies there.
    fn receive(&mut self) -> Result<Option<Message>, BusError> {
        if self.seen & PFSTS == 0 || !self.take_memory()? {
            return Ok(None);
        }
        self.seen &= !PFSTS;
        let mut words = [0; WORDS];
        for (index, word) in (0..).zip(&mut words) {
            *word = self.regs.read(self.at.memory.index(index));
        }
        // Gives the memory back, too.
        self.regs.write(self.at.flags, ACK);
        Ok(Some(Message::new(words)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        collections::VecDeque,
        sync::{Arc, Mutex},
        time::Duration,
    };
    use vfwire_core::error::PortError;
    use vfwire_spec::{
        intel::mailbox::{Header, PFU, Verdict},
        reg::MmioWord,
    };

    const AT: MailboxAt = MailboxAt { flags: Reg::at(0x100), memory: RegArray::at(0, 4, 16) };
    const WAIT: Wait = Wait { what: "an answer", limit: Duration::from_secs(20), remedy: "none" };
    const ASK: Message = Message::new([7, 1, 2]);
    const BEGIN: Message = Message::new([RESET as u32]);

    /// A PF of a few lines: at every request it does the next thing of its script.
    #[derive(Default)]
    struct Pf {
        flags: u32,
        memory: [u32; WORDS],
        script: VecDeque<Act>,
        requests: Vec<u32>,
        acknowledged: usize,
    }

    enum Act {
        Say(Message),
        /// Says nothing.
        Stay,
        /// Goes into reset.
        Reset,
    }

    impl Pf {
        fn say(&mut self, message: &Message) {
            self.memory = *message.memory();
            self.flags |= PFSTS;
        }

        fn write_flags(&mut self, value: u32) {
            self.flags &= !VFU;
            if self.flags & PFU == 0 {
                self.flags |= value & VFU;
            }
            self.acknowledged += usize::from(value & ACK != 0);
            if value & REQ != 0 {
                self.requests.push(self.memory[0]);
                match self.script.pop_front() {
                    Some(Act::Say(message)) => self.say(&message),
                    Some(Act::Reset) => self.flags |= RSTI,
                    Some(Act::Stay) | None => {}
                }
            }
        }
    }

    #[derive(Clone, Default)]
    struct FakeBar(Arc<Mutex<Pf>>);

    impl Bar for FakeBar {
        fn len_bytes(&self) -> u32 {
            0x200
        }
        fn read<V: MmioWord>(&self, offset: u32) -> V {
            let mut pf = self.0.lock().unwrap();
            if offset != AT.flags.offset() {
                return V::from_u64(u64::from(pf.memory[offset as usize / 4]));
            }
            let seen = pf.flags;
            if seen != u32::MAX {
                pf.flags &= !CLEAR_ON_READ;
            }
            V::from_u64(u64::from(seen))
        }
        fn write<V: MmioWord>(&self, offset: u32, value: V) {
            let (mut pf, value) = (self.0.lock().unwrap(), u32::try_from(value.to_u64()).unwrap());
            if offset == AT.flags.offset() { pf.write_flags(value) } else { pf.memory[offset as usize / 4] = value }
        }
    }

    fn mailbox(script: impl IntoIterator<Item = Act>) -> (Mailbox<FakeBar>, FakeBar) {
        let bar = FakeBar::default();
        bar.0.lock().unwrap().script = script.into_iter().collect();
        (Mailbox::new(Regs::new(bar.clone()), AT), bar)
    }

    fn answer(to: &Message, verdict: Verdict, clear_to_send: bool) -> Act {
        Act::Say(Message::new([to.header().answered(verdict, clear_to_send).0]))
    }

    #[test]
    fn flags_that_a_read_cleared_are_kept() {
        let (mut mailbox, bar) = mailbox([]);
        bar.0.lock().unwrap().flags = RSTD;
        bar.0.lock().unwrap().say(&FromPf::control(true));
        assert!(!mailbox.pf_in_reset().unwrap());
        assert!(mailbox.has_news().unwrap());
        assert_eq!(mailbox.notice().unwrap(), Some(Notice::BeginAgain(RESET_DONE)));
        assert_eq!(mailbox.notice().unwrap(), Some(Notice::Changed));
        assert_eq!(mailbox.notice().unwrap(), None);
        assert_eq!(bar.0.lock().unwrap().acknowledged, 1);
    }

    #[test]
    fn late_answers_are_dropped() {
        let (mut mailbox, bar) = mailbox([answer(&ASK, Verdict::Ack, true)]);
        bar.0.lock().unwrap().say(&Message::new([Header(9).answered(Verdict::Nack, true).0]));
        let reply = mailbox.request(&ASK, WAIT).unwrap();
        assert_eq!((reply.code(), reply.verdict()), (7, Verdict::Ack));
        // Even one of the same code, where it was there before the request.
        bar.0.lock().unwrap().say(&Message::new([ASK.header().answered(Verdict::Nack, true).0]));
        bar.0.lock().unwrap().script.push_back(answer(&ASK, Verdict::Ack, true));
        assert_eq!(mailbox.request(&ASK, WAIT).unwrap().verdict(), Verdict::Ack);
    }

    #[test]
    fn a_notice_in_the_way_repeats_the_request() {
        let (mut mailbox, bar) = mailbox([Act::Say(FromPf::control(true)), answer(&ASK, Verdict::Nack, true)]);
        assert_eq!(mailbox.request(&ASK, WAIT).unwrap().verdict(), Verdict::Nack);
        assert_eq!(bar.0.lock().unwrap().requests, [7, 7]);
    }

    #[test]
    fn a_pf_that_has_forgotten_is_noticed() {
        for act in [Act::Say(FromPf::control(false)), answer(&ASK, Verdict::Nack, false), Act::Reset] {
            let (mut mailbox, _) = mailbox([act]);
            assert!(matches!(mailbox.request(&ASK, WAIT), Err(Setback::BeginAgain(_))));
        }
    }

    #[test]
    fn reset_is_for_pfs_that_have_forgotten() {
        let (mut mailbox, bar) =
            mailbox([Act::Say(FromPf::control(false)), Act::Say(FromPf::control(true)), answer(&BEGIN, Verdict::Nack, false)]);
        assert_eq!(mailbox.request(&BEGIN, WAIT).unwrap().verdict(), Verdict::Nack);
        assert_eq!(bar.0.lock().unwrap().requests.len(), 3);
    }

    #[test]
    fn a_refusal_of_nothing_may_lie_on_the_request() {
        let nothing = Message::new([Header::request(NOTHING, 0).answered(Verdict::Nack, false).0]);
        let (mut uninitialised, bar) = mailbox([Act::Say(nothing), answer(&BEGIN, Verdict::Ack, false)]);
        assert_eq!(uninitialised.request(&BEGIN, WAIT).unwrap().verdict(), Verdict::Ack);
        assert_eq!(bar.0.lock().unwrap().requests.len(), 2);
        let (mut forgotten, _) = mailbox([Act::Say(nothing)]);
        assert!(matches!(forgotten.request(&ASK, WAIT), Err(Setback::BeginAgain(_))));
    }

    #[test]
    fn nothing_is_written_while_the_pf_holds_the_memory() {
        let (mut mailbox, bar) = mailbox([]);
        bar.0.lock().unwrap().flags = PFU;
        let short = Wait { limit: Duration::from_millis(2), ..WAIT };
        assert!(matches!(mailbox.request(&ASK, short), Err(Setback::Failed(PortError::Timeout { .. }))));
        assert_eq!(bar.0.lock().unwrap().memory, [0; WORDS]);
    }

    #[test]
    fn silence_ends() {
        let (mut mailbox, bar) = mailbox([Act::Stay]);
        let short = Wait { limit: Duration::from_millis(2), ..WAIT };
        let Err(Setback::Failed(error)) = mailbox.request(&ASK, short) else { panic!("nobody answered") };
        assert!(error.to_string().contains("an answer"), "{error}");
        assert_eq!(bar.0.lock().unwrap().requests, [7]);
    }

    #[test]
    fn a_device_that_is_gone_says_so() {
        let (mut mailbox, bar) = mailbox([]);
        bar.0.lock().unwrap().flags = u32::MAX;
        assert!(matches!(mailbox.notice(), Err(BusError::Gone)));
        assert!(matches!(mailbox.request(&ASK, WAIT), Err(Setback::Failed(PortError::Bus(BusError::Gone)))));
    }
}
