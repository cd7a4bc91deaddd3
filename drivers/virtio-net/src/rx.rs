//! Receive: the loop is `vfwire-virtq`'s.

use vfwire_core::error::PortError;
use vfwire_virtq::{NetHeader, VirtRx};

/// A receive queue.
pub type Rx<B> = VirtRx<B>;

/// Whether frames of `frame_bytes` fit buffers of `room_bytes`: a device that cannot merge buffers puts each frame into one.
pub(crate) fn check_room(header: NetHeader, frame_bytes: u32, room_bytes: u32) -> Result<(), PortError> {
    if header.is_mergeable || frame_bytes <= room_bytes {
        return Ok(());
    }
    let allowed = format!("at least {frame_bytes} with this MTU, because the device cannot put a frame into several (it has no MRG_RXBUF)");
    Err(PortError::setting("the size of the pool's buffers in bytes", room_bytes, allowed))
}
