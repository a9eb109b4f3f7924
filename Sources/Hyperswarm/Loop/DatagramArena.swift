import CDatagram

/// Memory that all sockets of one loop share: what a batch is sent from, and received into.
///
/// Belongs to the loop's thread.
final class DatagramArena {
    static let slots = Int(HYPERCONFORM_BATCH)
    /// Sending: bytes of a whole batch. Receiving with offload: sixteen slots of 64 KiB.
    static let size = 1 << 20

    let bytes: UnsafeMutablePointer<UInt8>
    let datagrams: UnsafeMutablePointer<hyperconform_datagram>

    init() {
        bytes = .allocate(capacity: DatagramArena.size)
        datagrams = .allocate(capacity: DatagramArena.slots)
        datagrams.initialize(repeating: hyperconform_datagram(), count: DatagramArena.slots)
    }

    deinit {
        bytes.deallocate()
        datagrams.deallocate()
    }
}
