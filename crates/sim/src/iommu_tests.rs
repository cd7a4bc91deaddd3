use super::*;
use crate::{
    host::SimHost,
    memory::{SimDma, raw},
};
use vfwire_core::dma::{DmaRegion, DmaSpace};

struct Fixture {
    iommu: Arc<Iommu>,
    space: SimDma,
    device: Arc<str>,
}

impl Fixture {
    fn new() -> Self {
        let iommu = Arc::new(Iommu::new());
        Self { space: SimDma(Arc::clone(&iommu)), iommu, device: "sim:test".into() }
    }

    fn region(&self, len_bytes: usize) -> DmaRegion {
        self.space.alloc(len_bytes, 64).expect("memory")
    }

    fn with<T>(&self, access: impl FnOnce(&View<'_>) -> T) -> T {
        access(&View::new(&self.iommu.snapshot(), &self.device))
    }

    fn read_kind(&self, iova: u64, len_bytes: usize) -> Result<(), FaultKind> {
        self.with(|view| view.read(iova, &mut vec![0; len_bytes])).map_err(|fault| fault.kind)
    }

    #[cfg(feature = "audit")]
    fn write_kind(&self, iova: u64, len_bytes: usize) -> Result<(), FaultKind> {
        self.with(|view| view.write(iova, &vec![0; len_bytes])).map_err(|fault| fault.kind)
    }
}

#[test]
fn a_device_sees_what_the_processor_wrote_and_the_other_way_round() {
    let fixture = Fixture::new();
    let region = fixture.region(4096);
    raw::write(&region, 100, b"to the device");
    fixture.with(|view| {
        let mut seen = [0; 13];
        view.read(region.iova().0 + 100, &mut seen).expect("mapped");
        assert_eq!(&seen, b"to the device");
        view.write(region.iova().0 + 4092, b"back").expect("mapped");
        view.write_back(region.iova().0 + 32, [1, 2]).expect("mapped");
        let mut descriptors = [[9; 2]; 2];
        view.read_descriptors(region.iova().0 + 16, &mut descriptors).expect("mapped");
        assert_eq!(descriptors, [[0, 0], [1, 2]]);
    });
    assert_eq!(raw::read(&region, 4092, 4), b"back");
    assert_eq!(raw::descriptor(&region, 2), [1, 2]);
}

#[test]
fn only_what_lies_inside_a_region_is_mapped() {
    let fixture = Fixture::new();
    let (first, second) = (fixture.region(4096), fixture.region(100));
    let end = first.iova().0 + 4096;
    assert_eq!(fixture.read_kind(first.iova().0, 4096), Ok(()));
    assert_eq!(fixture.read_kind(first.iova().0 - 1, 1), Err(FaultKind::Unmapped));
    assert_eq!(fixture.read_kind(end, 1), Err(FaultKind::Unmapped));
    assert_eq!(fixture.read_kind(end - 1, 2), Err(FaultKind::Unmapped));
    assert_eq!(fixture.read_kind(second.iova().0, 100), Ok(()));
    assert_eq!(fixture.read_kind(second.iova().0, 101), Err(FaultKind::Unmapped));
    for iova in [0, 1, u64::MAX, u64::MAX - 15] {
        assert_eq!(fixture.read_kind(iova, 16), Err(FaultKind::Unmapped), "{iova:#x}");
    }
}

#[test]
fn a_dropped_region_faults_and_its_address_is_not_used_again() {
    let fixture = Fixture::new();
    let iova = fixture.region(4096).iova();
    assert_eq!(fixture.read_kind(iova.0, 1), Err(FaultKind::Unmapped));
    assert_ne!(fixture.region(4096).iova(), iova);
    let fault = fixture.with(|view| view.write(iova.0, &[0; 60])).expect_err("unmapped");
    assert_eq!(fault.to_string(), "DMA fault: sim:test wrote 60 bytes at 0x100000000, which is not mapped");
}

#[test]
fn memory_lives_as_long_as_a_snapshot_of_it() {
    let fixture = Fixture::new();
    let region = fixture.region(4096);
    let iova = region.iova().0;
    let map = fixture.iommu.snapshot();
    drop(region);
    View::new(&map, &fixture.device).write(iova, &[1; 4096]).expect("still in the snapshot");
}

#[test]
fn alignment_holds_for_the_processor_and_the_device() {
    let fixture = Fixture::new();
    for align_bytes in [1, 64, 128, 4096, 2 << 20] {
        let region = fixture.space.alloc(100, align_bytes).expect("memory");
        assert_eq!((region.iova().0 % align_bytes as u64, region.as_ptr().addr().get() % align_bytes), (0, 0));
        assert!(raw::read(&region, 0, 100).iter().all(|byte| *byte == 0));
    }
    for (len_bytes, align_bytes) in [(0, 64), (1, 0), (1, 3), (1, 2 << 30), (usize::MAX, 64)] {
        assert!(fixture.space.alloc(len_bytes, align_bytes).is_err(), "{len_bytes} aligned to {align_bytes}");
    }
    let huge = fixture.space.alloc(1 << 60, 64).expect_err("more than there is");
    assert!(huge.to_string().contains("use fewer or smaller buffers"), "{huge}");
}

#[test]
fn misaligned_descriptors_fault() {
    let fixture = Fixture::new();
    let iova = fixture.region(4096).iova().0;
    let region = fixture.region(4096);
    assert_ne!(region.iova().0, iova);
    let written = fixture.with(|view| view.write_back(region.iova().0 + 4, [0; 2]));
    assert_eq!(written.map_err(|fault| fault.kind), Err(FaultKind::Misaligned));
}

#[test]
fn hosts_have_domains_of_their_own() {
    assert_ne!(SimHost::new().dma().domain(), SimHost::new().dma().domain());
    let host = SimHost::new();
    assert_eq!(host.dma().domain(), host.dma().domain());
}

#[cfg(feature = "audit")]
#[test]
fn buffers_are_their_owners() {
    let fixture = Fixture::new();
    let region = fixture.region(4096);
    let start = region.iova().0 + 1024;
    let owners = Arc::new(Owners::new(Iova(start), 512, 4));
    fixture.space.watch(Arc::clone(&owners));
    // Outside the buffers, inside the region: nobody's.
    assert_eq!(fixture.write_kind(start - 512, 512), Ok(()));
    assert_eq!(fixture.write_kind(start + 2048, 512), Ok(()));
    assert_eq!(fixture.read_kind(start, 60), Err(FaultKind::ProcessorOwns));
    owners.set(1, Owner::DeviceReads);
    assert_eq!(fixture.read_kind(start + 512, 512), Ok(()));
    assert_eq!(fixture.write_kind(start + 512, 60), Err(FaultKind::ReadOnly));
    assert_eq!(fixture.read_kind(start + 512, 513), Err(FaultKind::CrossesBuffers));
    assert_eq!(fixture.read_kind(start - 1, 2), Err(FaultKind::CrossesBuffers));
    owners.set(2, Owner::DeviceWrites);
    assert_eq!(fixture.write_kind(start + 1024, 512), Ok(()));
    assert_eq!(fixture.read_kind(start + 1024, 60), Err(FaultKind::WriteOnly));
    owners.set(2, Owner::Cpu);
    assert_eq!(fixture.write_kind(start + 1024, 60), Err(FaultKind::ProcessorOwns));
}
