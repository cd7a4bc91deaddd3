//! Simulated virtual functions on a simulated bus with an IOMMU that faults.
