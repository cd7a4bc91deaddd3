//! What the process may do.

use super::{Check, Context};
use vfwire_pod::{CAP_IPC_LOCK, Seccomp};

pub(super) fn checks(context: &Context, _: &[Check]) -> Vec<Check> {
    vec![user(context), seccomp(context)]
}

fn user(context: &Context) -> Check {
    const ID: &str = "process.user";
    let process = &context.environment.process;
    let Some(user) = &process.user else { return Check::skipped(ID, "/proc/self/status does not say") };
    let locks = if process.has(CAP_IPC_LOCK) { ", IPC_LOCK" } else { "" };
    let all = process.capabilities.as_ref().map_or(0, |set| set.value.count_ones());
    let nnp = if process.no_new_privileges.as_ref().is_some_and(|flag| flag.value) { ", no new privileges" } else { "" };
    let namespace = if process.user_namespace { ", in a user namespace" } else { "" };
    let found = format!("user {}, {all} capabilities{locks}{nnp}{namespace}", user.value);
    if user.value == 0 && context.in_pod() {
        let remedy =
            "`securityContext: {runAsNonRoot: true, runAsUser: 1000, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}`";
        return Check::warning(ID, found, remedy).needs("no root");
    }
    Check::ok(ID, found)
}

fn seccomp(context: &Context) -> Check {
    const ID: &str = "process.seccomp";
    let Some(mode) = &context.environment.process.seccomp else { return Check::skipped(ID, "/proc/self/status does not say") };
    match mode.value {
        Seccomp::Filter => Check::ok(ID, "system calls are filtered"),
        Seccomp::Strict => Check::ok(ID, "system calls are filtered strictly"),
        Seccomp::Disabled if context.in_pod() => {
            Check::warning(ID, "system calls are not filtered", "`securityContext: {seccompProfile: {type: RuntimeDefault}}`")
        }
        Seccomp::Disabled => Check::ok(ID, "system calls are not filtered"),
    }
    .needs("nothing that RuntimeDefault denies")
}
