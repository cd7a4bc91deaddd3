//! Memory: hugepages, what limits them, and what may be locked.

use super::{Check, Context, Need};
use std::{fs, path::Path};
use vfwire::HugepageChoice;
use vfwire_pod::PageSize;

const MIB: u64 = 1 << 20;
/// Files of a mount that are looked at.
const FILES_MAX: usize = 1000;

pub(super) fn checks(context: &Context, _: &[Check]) -> Vec<Check> {
    let mut checks = if context.subjects.is_empty() {
        let why = "no VF whose memory this would be";
        let found = context.environment.hugepages.sizes.iter().map(|size| format!("{} of {}", stock(size), size.resource()));
        let found = found.collect::<Vec<_>>().join(", ");
        let found = if found.is_empty() { "the kernel has no hugepages".to_owned() } else { found };
        vec![
            Check::skipped("memory.hugepages", format!("{why}; {found}")),
            Check::skipped("memory.limit", why),
            Check::skipped("memory.memlock", format!("{why}; {}", locked(context))),
        ]
    } else {
        vec![hugepages(context), limit(context), memlock(context)]
    };
    checks.push(leftovers(context));
    checks
}

fn mib(bytes: u64) -> String {
    if bytes.is_multiple_of(MIB) { format!("{} MiB", bytes / MIB) } else { format!("{} KiB", bytes / 1024) }
}

impl Need {
    fn page_bytes(self) -> u64 {
        self.pages.page_bytes() as u64
    }

    fn size<'a>(self, context: &'a Context) -> Option<&'a PageSize> {
        context.environment.hugepages.sizes.iter().find(|size| size.bytes == self.page_bytes())
    }

    /// The resource in a pod's limits.
    fn yaml(self) -> String {
        let name = if self.pages == HugepageChoice::Size1G { "hugepages-1Gi" } else { "hugepages-2Mi" };
        let need = self.bytes / MIB;
        format!("`resources: {{requests: {{{name}: {need}Mi}}, limits: {{{name}: {need}Mi}}}}`, with cpu and memory beside it")
    }
}

fn stock(size: &PageSize) -> String {
    let count = |fact: &Option<vfwire_pod::Fact<u64>>| fact.as_ref().map_or(0, |fact| fact.value);
    format!("{} of {} free", count(&size.free), count(&size.total))
}

/// What the host has, and whether one can be had: it is mapped, populated and given back.
fn hugepages(context: &Context) -> Check {
    const ID: &str = "memory.hugepages";
    let need = context.need;
    let pages = need.bytes / need.page_bytes();
    let needed = format!("{pages} of {} ({})", mib(need.page_bytes()), mib(need.bytes));
    let Some(size) = need.size(context) else {
        let remedy = format!("on the host: `hugepages.sh reserve {pages}`, on a kernel with CONFIG_HUGETLBFS");
        return Check::failure(ID, format!("the kernel shows no hugepages of {}", mib(need.page_bytes())), remedy).needs(needed);
    };
    let (free, total) = (size.free.as_ref().map_or(0, |free| free.value), size.total.as_ref().map_or(0, |total| total.value));
    if free < pages {
        // Besides what is in use now.
        let reserve = total.saturating_sub(free) + pages;
        let spec = if context.in_pod() { format!("; in the container's spec: {}", need.yaml()) } else { String::new() };
        let remedy = format!("on the host: `hugepages.sh reserve {reserve}`{spec}");
        return Check::failure(ID, stock(size), remedy).needs(needed);
    }
    match need.pages.try_allocate(need.pages.page_bytes()) {
        Ok(()) => Check::ok(ID, format!("{}; one was mapped and given back", stock(size))).needs(needed),
        Err(error) => {
            let remedy = format!("in the container's spec: {}", need.yaml());
            Check::failure(ID, format!("{}, but one cannot be had ({error})", stock(size)), remedy).needs(needed)
        }
    }
}

/// What control groups and the pod's own spec allow.
fn limit(context: &Context) -> Check {
    const ID: &str = "memory.limit";
    let need = context.need;
    let needed = mib(need.bytes);
    let Some(size) = need.size(context) else { return Check::skipped(ID, "see memory.hugepages") };
    let remedy = || format!("in the container's spec: {}", need.yaml());
    if let Some(limit) = size.limit.as_ref().filter(|limit| limit.value.left_bytes() < need.bytes) {
        let found = format!("{} of {} are left ({})", mib(limit.value.left_bytes()), mib(limit.value.max_bytes), limit.source);
        return Check::failure(ID, found, remedy()).needs(needed);
    }
    if let Some(asked) = size.asked_bytes.as_ref().filter(|asked| asked.value < need.bytes) {
        return Check::failure(ID, format!("the container's limit is {} ({})", mib(asked.value), asked.source), remedy()).needs(needed);
    }
    let limit = size.limit.as_ref().map(|limit| format!("{} are left ({})", mib(limit.value.left_bytes()), limit.source));
    let asked = size.asked_bytes.as_ref().map(|asked| format!("the container's limit is {} ({})", mib(asked.value), asked.source));
    let found: Vec<_> = limit.into_iter().chain(asked).collect();
    let found = if found.is_empty() { "no control group limits them".to_owned() } else { found.join("; ") };
    Check::ok(ID, found).needs(needed)
}

fn locked(context: &Context) -> String {
    let memlock = &context.environment.process.memlock;
    match &memlock.limit_bytes {
        _ if memlock.exempt => "no limit on locked memory, by CAP_IPC_LOCK".to_owned(),
        None => "the limit on locked memory is not known".to_owned(),
        Some(limit) if limit.value == u64::MAX => "no limit on locked memory".to_owned(),
        Some(limit) => format!("up to {} of locked memory, {} used ({})", mib(limit.value), mib(memlock.locked_bytes), limit.source),
    }
}

/// VFIO charges what it maps to the limit on locked memory.
fn memlock(context: &Context) -> Check {
    const ID: &str = "memory.memlock";
    let (process, need) = (&context.environment.process, context.need);
    let needed = format!("{} of locked memory", mib(need.bytes));
    if process.memlock.allows(need.bytes) {
        return Check::ok(ID, locked(context)).needs(needed);
    }
    let total = process.memlock.locked_bytes.saturating_add(need.bytes);
    let remedy = if context.in_pod() {
        format!(
            "in the container's spec: `securityContext: {{capabilities: {{add: [IPC_LOCK]}}}}`, which counts for root, or for a binary with `setcap \
             cap_ipc_lock=p`; or on the node, for all containers: `LimitMEMLOCK={total}` under `[Service]` in `systemctl edit containerd`, then \
             `systemctl restart containerd`"
        )
    } else {
        format!("`ulimit -l {}`, or `LimitMEMLOCK={total}` in the service's unit", total.div_ceil(1024))
    };
    Check::failure(ID, locked(context), remedy).needs(needed)
}

/// Files that processes which were killed left behind hold pages until somebody removes them. vfwire makes none.
fn leftovers(context: &Context) -> Check {
    const ID: &str = "memory.leftovers";
    let mounts: Vec<_> =
        context.environment.hugepages.sizes.iter().flat_map(|size| &size.mounts).map(|mount| mount.value.as_path()).collect();
    if mounts.is_empty() {
        return Check::ok(ID, "no hugepages are mounted, which none need be");
    }
    let found: Vec<_> = mounts.iter().map(|mount| (mount.display(), files(mount))).filter(|(_, files)| *files > 0).collect();
    if found.is_empty() {
        return Check::ok(ID, format!("no files in {}", list(&mounts)));
    }
    let text: Vec<_> = found.iter().map(|(mount, files)| format!("{files} files in {mount}")).collect();
    let remedy = format!("where no process uses them (`fuser -v {0}/*`): `rm {0}/*`", found[0].0);
    Check::warning(ID, format!("{}, which may hold hugepages of processes that are gone", text.join(", ")), remedy)
}

fn list(paths: &[&Path]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(FILES_MAX);
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file())).count()
}
