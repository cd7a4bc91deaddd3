//! Developer commands: test, tidy, vm, bench.
