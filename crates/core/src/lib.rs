//! The packet path and the seams around it: BARs, DMA memory, rings, pools, packets, ports.
