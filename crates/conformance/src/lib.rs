//! The suite that every driver's tests instantiate.
//!
//! A driver's `tests/conformance.rs` implements [`Fixture`] (and [`PfFixture`], where the function has a PF behind a mailbox) for its
//! simulated function and says `conformance!(ItsFixture)`. That makes one test of every scenario, in a module a group. A function without
//! a PF names the groups that concern it: `conformance!(ItsFixture: traffic, pressure, …)`.
//!
//! Every scenario runs in one thread and steps the device itself ([`queues`] has the one exception), so it runs the same every time. At
//! its end every bench checks that the IOMMU refused nothing, that the driver broke no rule of the data sheet, and that all buffers are
//! home. Core and the simulator record who owns each buffer (feature `audit`), so a device that is handed a buffer too early, or a
//! driver that reads one too soon, is a fault here.
//!
//! | group | what it holds |
//! |---|---|
//! | [`traffic`] | the same bytes, in order, at every size and burst, round and round the rings |
//! | [`pressure`] | full rings, empty pools |
//! | [`jumbo`] | frames that span buffers; frames of impossible lengths |
//! | [`filters`] | addresses, VLANs, multicast, promiscuous mode |
//! | [`offloads`] | checksums |
//! | [`queues`] | several queue pairs |
//! | [`counting`] | statistics; no allocation in a burst |
//! | [`link`] | events and speed of the link |
//! | [`life`] | start, stop, drop, wrong calls, wrong settings |
//! | [`states`], [`failures`] | every edge of the life of a port |
//! | [`removal`] | the function is taken away |
//! | [`hostile`] | a device that writes what it should not |
//! | [`recovery`], [`mailbox`] | the PF, where there is one |
//! | [`faults`], [`faults_without_pf`] | something goes wrong at every step |
//!
//! Deliberately not here: what only one device does, and speed.

pub mod bench;
pub mod counting;
pub mod failures;
pub mod faults;
pub mod faults_without_pf;
pub mod filters;
pub mod fixture;
pub mod frames;
pub mod hostile;
pub mod jumbo;
pub mod life;
pub mod link;
pub mod mailbox;
pub mod offloads;
pub mod pressure;
pub mod queues;
pub mod recovery;
pub mod removal;
pub mod states;
pub mod traffic;

pub use fixture::{Fixture, Hostility, Lost, Options, PfFixture, Request, Traits};

/// One test of every scenario for a fixture: of all groups, or of the groups that are named.
#[macro_export]
macro_rules! conformance {
    ($fixture:ident) => {
        $crate::conformance!(
            $fixture: traffic, pressure, jumbo, filters, offloads, queues, counting, link, life, states, removal, hostile, recovery, failures, mailbox,
            faults
        );
    };
    ($fixture:ident: $($group:ident),+) => {
        $(mod $group {
            use super::$fixture;
            $crate::scenarios!($group $fixture);
        })+
    };
}

/// The tests of one group.
#[doc(hidden)]
#[macro_export]
macro_rules! scenarios {
    (@ $group:ident $fixture:ident: $($scenario:ident)+) => {
        $(#[test] fn $scenario() { $crate::$group::$scenario::<$fixture>(); })+
    };
    (traffic $fixture:ident) => {
        $crate::scenarios!(@ traffic $fixture:
            every_size_comes_back_unchanged
            every_burst_length_is_served_in_one_call
            any_limit_serves_what_is_there
            rings_of_every_size_go_round
            one_doorbell_a_burst
            received_frames_follow_those_in_the_burst
            frames_grow_and_shrink
            packets_are_kept_and_sent_later
            frames_cross_from_port_to_port
            pools_are_not_mixed
        );
    };
    (pressure $fixture:ident) => {
        $crate::scenarios!(@ pressure $fixture:
            a_full_transmit_ring_keeps_the_rest
            what_was_sent_comes_back_at_once
            the_working_set_stays_small
            a_full_receive_ring_drops_and_counts
            an_exhausted_pool_recovers
            an_idle_queue_is_not_starved
            a_pool_smaller_than_its_rings_works
        );
    };
    (jumbo $fixture:ident) => {
        $crate::scenarios!(@ jumbo $fixture:
            long_frames_span_buffers
            ordinary_frames_in_small_buffers
            long_and_short_frames_mixed
            received_frames_above_the_mtu_do_no_harm
            unsendable_frames_are_counted
            chains_of_many_segments
            the_shortest_frames_are_sent
            the_longest_mtu_works
        );
    };
    (filters $fixture:ident) => {
        $crate::scenarios!(@ filters $fixture:
            joined_vlans_are_received
            vlans_change_at_run_time
            tags_are_inserted
            tags_of_the_application_pass
            only_what_was_asked_for_comes
            multicast_groups_come_and_go
            many_multicast_groups
            all_multicast
            promiscuous_mode_is_refused_with_a_remedy
            promiscuous_mode_of_a_trusted_function
            the_assigned_address_is_used
            a_random_address_where_none_is_assigned
            the_random_address_stays
            the_application_chooses_an_address
            a_refused_address_is_reported
            anti_spoofing_is_survived
        );
    };
    (offloads $fixture:ident) => {
        $crate::scenarios!(@ offloads $fixture:
            received_checksums_are_judged
            metadata_travels_with_the_frame
            checksums_are_inserted
            requests_change_from_frame_to_frame
            checksums_over_several_buffers
        );
    };
    (queues $fixture:ident) => {
        $crate::scenarios!(@ queues $fixture:
            each_transmit_queue_sends
            each_flow_stays_on_a_queue
            queues_work_on_their_own_threads
            starts_of_different_widths
            a_function_with_one_pair
            the_path_is_the_one_asked_for
        );
    };
    (counting $fixture:ident) => {
        $crate::scenarios!(@ counting $fixture:
            counters_begin_at_zero
            statistics_are_what_moved
            only_what_came_is_counted
            wrapping_counters_are_widened
            statistics_survive_starts
            reading_statistics_changes_nothing
            bursts_do_not_allocate
        );
    };
    (link $fixture:ident) => {
        $crate::scenarios!(@ link $fixture:
            up_and_down_alternate
            a_glitch_keeps_the_order
            the_speed_is_told
            a_start_without_a_link
            frames_sent_without_a_link
        );
    };
    (life $fixture:ident) => {
        $crate::scenarios!(@ life $fixture:
            stop_makes_the_device_quiet
            a_stopped_port_starts_again
            queues_of_an_earlier_start_move_nothing
            everything_is_dropped_in_any_order
            a_packet_outlives_everything
            a_function_is_opened_again
            calls_out_of_order_are_refused
            a_foreign_pool_is_refused
            bad_settings_are_refused
            a_port_describes_itself
        );
    };
    (states $fixture:ident) => {
        $crate::scenarios!(@ states $fixture:
            start_and_stop
            reset_and_recover
            stop_in_a_reset
            reset_in_a_reset
            removed_from_every_state
            a_device_that_hangs_is_reset
            a_queue_that_is_not_fed_does_not_stall
            a_slow_device_does_not_stall
            nothing_stalls_without_a_link
        );
    };
    (failures $fixture:ident) => {
        $crate::scenarios!(@ failures $fixture:
            a_recovery_that_never_succeeds_fails
            a_failed_port_starts_again
            a_failed_port_fails_to_start
            a_failed_port_is_removed
        );
    };
    (removal $fixture:ident) => {
        $crate::scenarios!(@ removal $fixture:
            a_function_that_is_asked_back
            an_error_of_the_bus_is_recovered_from
            a_stopped_port_is_asked_back
            a_function_that_is_gone
            a_function_gone_at_any_call
            a_function_gone_under_traffic
        );
    };
    (hostile $fixture:ident) => {
        $crate::scenarios!(@ hostile $fixture:
            damaged_frames
            lengths_beyond_the_buffer
            frames_without_an_end
            a_frame_cut_off_by_the_end
            all_bits_set
            frames_of_no_bytes
            completions_out_of_nowhere
            frames_never_reported
            random_write_backs
        );
    };
    (recovery $fixture:ident) => {
        $crate::scenarios!(@ recovery $fixture:
            the_pf_goes_down_and_comes_back
            recovery_asks_for_the_latest_intent
            a_reset_that_nobody_saw
            a_notice_to_begin_again
            a_pf_that_forgot_is_noticed_at_a_request
            a_notice_that_demands_nothing
            recovery_waits_for_its_workers
            queues_dropped_around_a_reset
            what_a_reset_loses_is_counted
            frames_received_before_a_reset_are_accounted
            the_random_address_survives
            an_address_assigned_meanwhile_is_learnt
            recovery_reports_what_is_refused_now
            a_pf_that_is_slow_to_come_back
            a_second_reset_during_recovery
            the_end_during_a_reset
        );
    };
    (mailbox $fixture:ident) => {
        $crate::scenarios!(@ mailbox $fixture:
            a_silent_pf_at_probe
            a_pf_that_is_down_at_probe
            a_pf_that_falls_silent
            a_slow_pf_is_waited_for
            each_refusal_is_reported
            a_refused_mtu_is_reported
            a_port_without_any_address
            a_notice_in_the_middle_of_a_request
            a_new_start_demanded_during_a_request
        );
    };
    (faults $fixture:ident) => {
        $crate::scenarios!(@ faults $fixture:
            every_fault_at_every_step
            several_faults_at_random_steps
        );
    };
    (faults_without_pf $fixture:ident) => {
        $crate::scenarios!(@ faults_without_pf $fixture:
            every_fault_at_every_step
            several_faults_at_random_steps
        );
    };
}

#[cfg(test)]
mod tests {
    /// A scenario that is not in the list never runs.
    #[test]
    fn every_scenario_is_listed() {
        let sources = [
            ("traffic", include_str!("traffic.rs")),
            ("pressure", include_str!("pressure.rs")),
            ("jumbo", include_str!("jumbo.rs")),
            ("filters", include_str!("filters.rs")),
            ("offloads", include_str!("offloads.rs")),
            ("queues", include_str!("queues.rs")),
            ("counting", include_str!("counting.rs")),
            ("link", include_str!("link.rs")),
            ("life", include_str!("life.rs")),
            ("states", include_str!("states.rs")),
            ("failures", include_str!("failures.rs")),
            ("removal", include_str!("removal.rs")),
            ("hostile", include_str!("hostile.rs")),
            ("recovery", include_str!("recovery.rs")),
            ("mailbox", include_str!("mailbox.rs")),
            ("faults", include_str!("faults.rs")),
            ("faults_without_pf", include_str!("faults_without_pf.rs")),
        ];
        let list = include_str!("lib.rs");
        for (group, source) in sources {
            let start = list.find(&format!("@ {group} $fixture:")).unwrap_or_else(|| panic!("{group} has no list"));
            let listed: Vec<_> = list[start..].lines().skip(1).map(str::trim).take_while(|line| *line != ");").collect();
            let is_scenario = |line: &&str| line.ends_with("Fixture>() {") && line.starts_with("pub fn ");
            let written: Vec<_> = source.lines().filter(is_scenario).filter_map(|line| line[7..].split('<').next()).collect();
            assert_eq!(listed, written, "{group}");
        }
    }
}
