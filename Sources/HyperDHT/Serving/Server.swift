import CompactEncoding
import HyperCrypto
import SansIO

/// One listening key of a node. hyperdht.md sections 12 and 17.
final class Server {
    let id: ServerID
    let keyPair: KeyPair
    let target: Bytes32
    let options: ServerOptions
    let announcer: Announcer
    /// Handshakes by slot; a slot is free again when its handshake is forgotten.
    private var slots: [ServerHandshake?] = []
    /// HDHT-41. Handshakes by the exact bytes of message 1.
    private(set) var byNoise: [[UInt8]: ServerHandshake] = [:]
    private(set) var byNumber: [UInt64: ServerHandshake] = [:]
    var gate: SourceGate
    /// Handshakes whose client has not shown yet that it is where it says.
    private var proven = 0
    var unproven: Int { byNumber.count - proven }
    var isClosing = false
    var isSuspended = false
    var hasReportedListening = false

    init(id: ServerID, keyPair: KeyPair, options: ServerOptions, limits: HyperDHTLimits) {
        self.id = id
        self.keyPair = keyPair
        self.options = options
        target = Blake2b.hash256(keyPair.publicKey.bytes)
        announcer = Announcer(record: PeerRecord(publicKey: keyPair.publicKey))
        gate = SourceGate(total: .max, perHost: limits.handshakesPerSecondAndHost, hosts: limits.countedHosts)
    }

    var signer: Signer { options.signer ?? .keyPair(keyPair) }

    /// The lowest free slot.
    func reserveSlot(_ handshake: ServerHandshake) {
        if let free = slots.firstIndex(where: { $0 == nil }) {
            slots[free] = handshake
            handshake.slot = UInt64(free)
        } else {
            slots.append(handshake)
            handshake.slot = UInt64(slots.count - 1)
        }
        byNoise[handshake.noise] = handshake
        byNumber[handshake.number] = handshake
    }

    /// The client's encrypted stream has come: it is there, and had our answer. Its handshake is held against nobody any more.
    func prove(_ handshake: ServerHandshake) {
        guard !handshake.isProven, byNumber[handshake.number] === handshake else { return }
        handshake.isProven = true
        proven += 1
        gate.giveBack(handshake.clientAddress.address)
    }

    func forget(_ handshake: ServerHandshake) {
        if handshake.isProven, byNumber[handshake.number] === handshake { proven -= 1 }
        if self.handshake(slot: handshake.slot) === handshake, let index = Int(exactly: handshake.slot) { slots[index] = nil }
        while let last = slots.last, last == nil { slots.removeLast() }
        if byNoise[handshake.noise] === handshake { byNoise[handshake.noise] = nil }
        byNumber[handshake.number] = nil
    }

    func handshake(slot: UInt64) -> ServerHandshake? {
        guard let index = Int(exactly: slot), slots.indices.contains(index) else { return nil }
        return slots[index]
    }
}
