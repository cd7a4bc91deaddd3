//! Telling a device that buffers are available (virtio 1.2, 2.9, 4.1.5.2).

use vfwire_core::bar::{Bar, Doorbell};
use vfwire_spec::virtio::net::notification;

/// The notification of one queue.
#[derive(Clone, Debug)]
pub struct Notify<B>(Kind<B>);

#[derive(Clone, Debug)]
enum Kind<B> {
    Index(Doorbell<B, u16>, u16),
    Data(Doorbell<B, u32>, u16),
}

impl<B: Bar> Notify<B> {
    /// A doorbell that is told the queue.
    pub fn by_index(bell: Doorbell<B, u16>, queue: u16) -> Self {
        Self(Kind::Index(bell, queue))
    }

    /// A doorbell that is told the queue and where its next buffer will be: VIRTIO_F_NOTIFICATION_DATA.
    pub fn with_data(bell: Doorbell<B, u32>, queue: u16) -> Self {
        Self(Kind::Data(bell, queue))
    }

    /// Rings although there may be nothing new, from any thread. Not where the device is told the place of the next buffer, which only the
    /// queue knows.
    pub fn remind(&self) {
        if let Kind::Index(bell, queue) = &self.0 {
            bell.ring(*queue);
        }
    }

    /// Rings.
    #[inline(always)]
    pub(crate) fn ring(&self, next_offset: u16) {
        match &self.0 {
            Kind::Index(bell, queue) => bell.ring(*queue),
            Kind::Data(bell, queue) => bell.ring(notification(*queue, next_offset)),
        }
    }
}
