import CDatagram

/// Memory that all sockets of one loop share: what a batch is sent from, and received into.
///
/// Belongs to the loop's thread.
public final class DatagramArena {
    static let slots = Int(HYPERCONFORM_BATCH)
    /// Bytes of a batch that is sent.
    static let size = 1 << 20
    /// Bytes of a batch that is received: few enough that what follows from one batch is done before the next one is late.
    static let receiveSize = 1 << 18

    /// What a batch is received into. Machines are handed ranges of it and copy what they keep.
    var received = [UInt8](repeating: 0, count: receiveSize)
    let bytes: UnsafeMutablePointer<UInt8>
    let datagrams: UnsafeMutablePointer<hyperconform_datagram>

    public init() {
        bytes = .allocate(capacity: DatagramArena.size)
        datagrams = .allocate(capacity: DatagramArena.slots)
        datagrams.initialize(repeating: hyperconform_datagram(), count: DatagramArena.slots)
    }

    deinit {
        bytes.deallocate()
        datagrams.deallocate()
    }
}
