//! What each kind of object in deploy/kubernetes may hold: the types that the Kubernetes project publishes, and for objects that are not
//! Kubernetes' own every field of their definitions at the levels that are used here.

use std::collections::BTreeMap;

use k8s_openapi::api::{apps::v1 as apps, batch::v1 as batch, core::v1 as core, rbac::v1 as rbac, resource::v1 as resource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// What is wrong with an object, if anything.
pub(crate) fn check(object: &Value) -> Result<(), String> {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    match (text("apiVersion"), text("kind")) {
        ("v1", "ConfigMap") => typed::<core::ConfigMap>(object),
        ("v1", "Namespace") => typed::<core::Namespace>(object),
        ("v1", "ServiceAccount") => typed::<core::ServiceAccount>(object),
        ("apps/v1", "Deployment") => typed::<apps::Deployment>(object),
        ("batch/v1", "Job") => typed::<batch::Job>(object),
        ("rbac.authorization.k8s.io/v1", "Role") => typed::<rbac::Role>(object),
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => typed::<rbac::RoleBinding>(object),
        ("resource.k8s.io/v1", "ResourceClaimTemplate") => typed::<resource::ResourceClaimTemplate>(object),
        ("k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition") => typed::<Custom<NetworkSpec>>(object),
        ("sriovnetwork.openshift.io/v1", "SriovNetworkNodePolicy") => typed::<Custom<NodePolicySpec>>(object),
        ("sriovnetwork.openshift.io/v1", "SriovNetwork") => typed::<Custom<SriovNetworkSpec>>(object),
        ("sriovnetwork.k8snetworkplumbingwg.io/v1alpha1", "SriovResourcePolicy") => typed::<Custom<ResourcePolicySpec>>(object),
        ("sriovnetwork.k8snetworkplumbingwg.io/v1alpha1", "VfConfig") => typed::<VfConfig>(object),
        ("monitoring.coreos.com/v1", "PodMonitor") => typed::<Custom<PodMonitorSpec>>(object),
        (version, kind) => Err(format!("no type here for {kind} of {version}")),
    }
}

/// The published types take what they know and leave the rest: what does not come back was not known.
pub(crate) fn typed<T: DeserializeOwned + Serialize>(object: &Value) -> Result<(), String> {
    let read: T = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
    let back = serde_json::to_value(read).map_err(|error| error.to_string())?;
    lost("", object, &back).map_or(Ok(()), |path| Err(format!("no such field: {path}")))
}

/// The first field of `given` that `back` has not, or not so.
fn lost(path: &str, given: &Value, back: &Value) -> Option<String> {
    match (given, back) {
        (Value::Object(given), Value::Object(back)) => given.iter().find_map(|(key, value)| {
            let path = format!("{path}/{key}");
            back.get(key).map_or(Some(path.clone()), |back| lost(&path, value, back))
        }),
        (Value::Array(given), Value::Array(back)) if given.len() == back.len() => {
            given.iter().zip(back).enumerate().find_map(|(at, (given, back))| lost(&format!("{path}/{at}"), given, back))
        }
        _ => (given != back).then(|| path.to_owned()),
    }
}

/// An object that is not Kubernetes' own.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Custom<T> {
    api_version: String,
    kind: String,
    metadata: ObjectMeta,
    spec: T,
}

/// `k8s.cni.cncf.io_networkattachmentdefinitions_crd.yaml` of sriov-network-operator, 2026-08-06.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkSpec {
    config: String,
}

/// `sriovnetwork.openshift.io_sriovnetworknodepolicies.yaml` of sriov-network-operator, 2026-08-06, of which the bridge is left out.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NodePolicySpec {
    resource_name: String,
    node_selector: BTreeMap<String, String>,
    num_vfs: u32,
    nic_selector: NicSelector,
    priority: Option<u8>,
    mtu: Option<u32>,
    device_type: Option<DeviceType>,
    e_switch_mode: Option<String>,
    exclude_topology: Option<bool>,
    externally_managed: Option<bool>,
    is_rdma: Option<bool>,
    link_type: Option<String>,
    need_vhost_net: Option<bool>,
    vdpa_type: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum DeviceType {
    Netdevice,
    VfioPci,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NicSelector {
    vendor: Option<String>,
    #[serde(rename = "deviceID")]
    device_id: Option<String>,
    root_devices: Option<Vec<String>>,
    pf_names: Option<Vec<String>>,
    net_filter: Option<String>,
}

/// `sriovnetwork.openshift.io_sriovnetworks.yaml` of sriov-network-operator, 2026-08-06.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SriovNetworkSpec {
    resource_name: String,
    network_namespace: Option<String>,
    capabilities: Option<String>,
    ipam: Option<String>,
    link_state: Option<LinkState>,
    log_file: Option<String>,
    log_level: Option<String>,
    max_tx_rate: Option<u32>,
    min_tx_rate: Option<u32>,
    meta_plugins: Option<String>,
    spoof_chk: Option<Switch>,
    trust: Option<Switch>,
    vlan: Option<u16>,
    vlan_proto: Option<String>,
    #[serde(rename = "vlanQoS")]
    vlan_qos: Option<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LinkState {
    Auto,
    Enable,
    Disable,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Switch {
    On,
    Off,
}

/// `sriovnetwork.k8snetworkplumbingwg.io_sriovresourcepolicies.yaml` of dra-driver-sriov, 2026-08-19.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ResourcePolicySpec {
    node_selector: Option<core::NodeSelector>,
    configs: Vec<ResourcePolicyConfig>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ResourcePolicyConfig {
    device_attributes_selector: Option<LabelSelector>,
    resource_filters: Option<Vec<ResourceFilter>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ResourceFilter {
    vendors: Option<Vec<String>>,
    devices: Option<Vec<String>>,
    drivers: Option<Vec<String>>,
    link_type: Option<String>,
    pci_addresses: Option<Vec<String>>,
    pf_names: Option<Vec<String>>,
    pf_pci_addresses: Option<Vec<String>>,
}

/// `pkg/api/virtualfunction/v1alpha1` of dra-driver-sriov, 2026-08-19: what a claim gives the driver.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct VfConfig {
    api_version: String,
    kind: String,
    driver: Option<String>,
    add_vhost_mount: Option<bool>,
    if_name: Option<String>,
    net_attach_def_name: Option<String>,
    net_attach_def_namespace: Option<String>,
}

/// `monitoring.coreos.com_podmonitors.yaml` of prometheus-operator 0.91.0, of which an endpoint's authentication is left out.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PodMonitorSpec {
    selector: LabelSelector,
    pod_metrics_endpoints: Vec<PodMetricsEndpoint>,
    job_label: Option<String>,
    pod_target_labels: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PodMetricsEndpoint {
    port: Option<String>,
    port_number: Option<u16>,
    path: Option<String>,
    scheme: Option<String>,
    interval: Option<String>,
    scrape_timeout: Option<String>,
    honor_labels: Option<bool>,
    honor_timestamps: Option<bool>,
}

/// `config.json` of the SR-IOV network device plugin 3.9.0: `pkg/types`, selectors of PCI functions.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct DevicePluginConfig {
    resource_list: Vec<DevicePluginResource>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct DevicePluginResource {
    resource_name: String,
    resource_prefix: Option<String>,
    device_type: Option<String>,
    exclude_topology: Option<bool>,
    selectors: Vec<DevicePluginSelectors>,
    additional_info: Option<BTreeMap<String, BTreeMap<String, String>>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct DevicePluginSelectors {
    vendors: Option<Vec<String>>,
    devices: Option<Vec<String>>,
    drivers: Option<Vec<String>>,
    pci_addresses: Option<Vec<String>>,
    pf_names: Option<Vec<String>>,
    root_devices: Option<Vec<String>>,
    link_types: Option<Vec<String>>,
    acpi_indexes: Option<Vec<String>>,
    need_vhost_net: Option<bool>,
    is_rdma: Option<bool>,
    ddp_profiles: Option<Vec<String>>,
    vdpa_type: Option<String>,
    p_keys: Option<Vec<String>>,
}

/// What the SR-IOV CNI takes (its `NetConf`), beside what every CNI plugin does.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SriovCni {
    #[serde(rename = "cniVersion")]
    cni_version: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    ipam: Option<Value>,
    vlan: Option<u16>,
    #[serde(rename = "vlanQoS")]
    vlan_qos: Option<u8>,
    #[serde(rename = "vlanProto")]
    vlan_proto: Option<String>,
    mac: Option<String>,
    spoofchk: Option<Switch>,
    trust: Option<Switch>,
    link_state: Option<LinkState>,
    min_tx_rate: Option<u32>,
    max_tx_rate: Option<u32>,
    #[serde(rename = "logLevel")]
    log_level: Option<String>,
    #[serde(rename = "logFile")]
    log_file: Option<String>,
}
