//! Real PCI functions through VFIO, and DMA memory from hugepages.
