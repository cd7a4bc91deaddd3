//! As [`faults`](crate::faults), of a function without a PF.

use crate::{
    faults::{every_fault, scene_without_pf, several_faults},
    fixture::Fixture,
};

/// One fault a run, at every step.
pub fn every_fault_at_every_step<F: Fixture>() {
    every_fault(scene_without_pf::<F>());
}

/// Several faults in one run.
pub fn several_faults_at_random_steps<F: Fixture>() {
    several_faults(scene_without_pf::<F>());
}
