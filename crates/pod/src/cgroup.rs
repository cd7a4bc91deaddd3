//! Control groups of both versions: where the files of this process's group are.
//!
//! `/proc/self/cgroup` names the group from the hierarchy's root. In a container that root may be hidden (a cgroup namespace, or a bind
//! mount of the container's own group), so that the group's files lie at the mount itself. Both places are looked at, and so are the
//! parents in between: containerd may set a limit on the pod and none on its container.

use crate::{Fact, Root, Source};

const MOUNT: &str = "/sys/fs/cgroup";

/// A control group's folders: its own first, then its parents'.
pub(crate) struct Group {
    folders: Vec<String>,
    /// Version 2.
    pub(crate) unified: bool,
}

impl Group {
    /// The group of this process as far as `controller` goes, in whichever hierarchy has it. Version 1 has a hierarchy for each controller.
    pub(crate) fn of(root: &Root, controller: &str) -> Vec<Self> {
        let text = root.read("/proc/self/cgroup").unwrap_or_default();
        let mut groups = Vec::new();
        for line in text.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            let mounts = match controllers {
                "" => vec![MOUNT.to_owned(), format!("{MOUNT}/unified")],
                _ if controllers.split(',').any(|one| one == controller) => {
                    vec![format!("{MOUNT}/{controllers}"), format!("{MOUNT}/{controller}")]
                }
                _ => continue,
            };
            let folders = mounts.iter().flat_map(|mount| folders(mount, path)).collect();
            groups.push(Self { folders, unified: controllers.is_empty() });
        }
        groups
    }

    /// What each folder says in its file `name`, its own first.
    pub(crate) fn words(&self, root: &Root, name: &str) -> Vec<Fact<String>> {
        let paths = self.folders.iter().map(|folder| format!("{folder}/{name}"));
        paths.filter_map(|path| Some(Fact::new(root.word(&path)?, Source::file(path)))).collect()
    }
}

/// The folder of the group and those of its parents, up to the mount.
fn folders(mount: &str, path: &str) -> Vec<String> {
    // A group outside of the namespace's root is not visible.
    let path = if path.split('/').any(|part| part == "..") { "" } else { path.trim_end_matches('/') };
    let parents = std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(parent, _)| parent));
    parents.map(|path| format!("{mount}{path}")).collect()
}
