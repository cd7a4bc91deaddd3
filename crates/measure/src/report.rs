//! Pages and tables of results.
//!
//! A page stands for itself: no script, no font, nothing that is loaded from elsewhere.

mod chart;
