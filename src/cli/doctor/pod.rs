//! What this container was given: VFs and networks.

use super::{Check, Context, given, options};
use vfwire_pod::{ANNOTATIONS, Environment, PodError, Vf};

const ASK_FOR_A_VF: &str =
    "in the container's spec: `resources: {limits: {intel.com/vf_vfio: \"1\"}}`, with the name of your device plugin's resource";

pub(super) fn checks(context: &Context, _: &[Check]) -> Vec<Check> {
    vec![container(context.environment), vf(context), network(context)]
}

fn container(environment: &Environment) -> Check {
    let found = match &environment.pod {
        Some(source) => format!("a pod, by {source}"),
        None => "no pod: this machine itself, or a container without Kubernetes".to_owned(),
    };
    Check::ok("pod.container", found)
}

fn vf(context: &Context) -> Check {
    const ID: &str = "pod.vf";
    let granted = || {
        let of = |subject: &Vf| {
            let by: Vec<_> = subject.granted.iter().map(ToString::to_string).collect();
            format!("{} ({})", subject.address, by.join(", "))
        };
        context.subjects.iter().map(of).collect::<Vec<_>>().join("; ")
    };
    if !context.wanted.ports.is_empty() {
        let ours = |subject: &Vf| context.environment.vfs.iter().any(|vf| vf.address == subject.address);
        if let Some(foreign) = context.subjects.iter().find(|subject| !context.environment.vfs.is_empty() && !ours(subject)) {
            let granted = given::addresses(&context.environment.vfs);
            let found = format!("--port {} is none of those that this container was granted: {granted}", foreign.address);
            return Check::warning(ID, found, format!("name one of these: `--port {granted}`"));
        }
        return Check::ok(ID, format!("named: {}", granted()));
    }
    match context.environment.choose(&context.wanted.networks, options::PAIR) {
        Err(PodError::NoVf) if !context.in_pod() => {
            Check::skipped(ID, "no VF is named: give --port, after `vfwire list`; `vfwire forward` runs a simulated pair here")
        }
        Err(PodError::NoVf) => Check::failure(ID, "no VF was granted", ASK_FOR_A_VF),
        Err(error @ PodError::NoNetworkFunction { .. }) => Check::failure(ID, error.to_string(), ASK_FOR_A_VF),
        Err(error @ PodError::Ambiguous { .. }) => {
            Check::warning(ID, error.to_string(), "give vfwire `--network NAME` in the container's `args`")
        }
        Err(error @ (PodError::NoSuchNetwork { .. } | PodError::NoFunction { .. } | PodError::Stale { .. })) => {
            Check::skipped(ID, format!("see pod.network: {error}"))
        }
        Err(error) => Check::failure(ID, error.to_string(), remedy(&error)),
        Ok(_) => Check::ok(ID, granted()),
    }
    .needs("one VF, or two of one resource")
}

/// Who mends what cannot be read.
fn remedy(error: &PodError) -> String {
    match error {
        PodError::NodeGone { address, .. } => {
            return format!("on the host: `hugepages.sh bind {address}`, then delete the pod, so that it is granted a VF again");
        }
        PodError::NotGranted { .. } => {
            "delete the pod, so that the device plugin grants a VF again; remove the variable where the pod's `env` sets it"
        }
        _ => {
            "remove the variable where the pod's `env` sets it, since the device plugin does; or name the VF: `args: [forward, --port, ADDRESS]`"
        }
    }
    .to_owned()
}

fn network(context: &Context) -> Check {
    const ID: &str = "pod.network";
    let environment = context.environment;
    if let Some(problem) = &environment.annotation {
        let remedy = "delete the pod, so that Multus writes its annotation anew; or name the VF: `args: [forward, --port, ADDRESS]`";
        let wanted = !context.wanted.networks.is_empty();
        let found = problem.to_string();
        return if wanted { Check::failure(ID, found, remedy) } else { Check::warning(ID, found, remedy) };
    }
    let refused = environment.choose(&context.wanted.networks, options::PAIR).err().filter(|_| context.wanted.ports.is_empty());
    match refused {
        Some(error @ (PodError::NoSuchNetwork { .. } | PodError::NoFunction { .. })) => {
            return Check::failure(
                ID,
                error.to_string(),
                "in the pod's metadata: `annotations: {k8s.v1.cni.cncf.io/networks: vf-net}`, with the network's name",
            );
        }
        Some(error @ PodError::Stale { .. }) => {
            return Check::failure(ID, error.to_string(), "delete the pod, so that Multus writes its annotation anew");
        }
        _ => {}
    }
    let of_functions = || environment.networks.iter().filter_map(|network| Some((network, network.address?)));
    if of_functions().next().is_none() {
        return Check::skipped(ID, format!("{ANNOTATIONS} names no network with a function: no --network, no IPs, no MAC to compare"));
    }
    let describe = |(network, address): (&vfwire_pod::Network, vfwire_pod::PciAddress)| {
        let ips: Vec<_> = network.ips.iter().map(ToString::to_string).collect();
        format!("{} at {address} [{}]", network.name, ips.join(", "))
    };
    let stale: Vec<_> =
        of_functions().filter(|(_, address)| !environment.vfs.iter().any(|vf| vf.address == *address)).map(describe).collect();
    if stale.is_empty() || environment.vfs.is_empty() {
        return Check::ok(ID, of_functions().map(describe).collect::<Vec<_>>().join("; "));
    }
    let found = format!("{}, but this container was granted {}", stale.join("; "), given::addresses(&environment.vfs));
    Check::warning(
        ID,
        found,
        "another container of this pod may have it; otherwise delete the pod, so that Multus writes its annotation anew",
    )
}
