/// Plain counters of a HyperDHT node. hyperdht.md section 18; dht-rpc has its own.
public struct HyperDHTStatistics: Hashable, Sendable {
    /// Hole punching, by outcome.
    public struct Punches: Hashable, Sendable {
        public var consistent = 0
        public var random = 0
        public var open = 0
    }
    /// Connections through a blind relay.
    public struct Relaying: Hashable, Sendable {
        public var attempts = 0
        public var successes = 0
        public var aborts = 0
    }

    public var punches = Punches()
    public var relaying = Relaying()
    /// Requests handled, by command 0 to 10.
    public var requests = [Int](repeating: 0, count: 11)
    public var handshakesAnswered = 0
    public var messagesRelayed = 0
    public var connectionsOpened = 0
    public var connectionsClosed = 0
    public var dropped: [Drop: Int] = [:]

    /// Why something that arrived was not acted upon.
    public enum Drop: String, Hashable, Sendable, CaseIterable, Comparable {
        case relayedTooOften, unfitRelayTarget
        case tooManyHandshakes, handshakesTooOften, invalidNoise, undecodablePayload, firewalled
        case unknownSlot, invalidHolepunch
        case probeOnOrdinarySocket, streamFromPortZero
        case undecodableReply, foreignReply

        public static func < (a: Drop, b: Drop) -> Bool { a.rawValue < b.rawValue }
    }

    public init() {}

    mutating func drop(_ reason: Drop) { dropped[reason, default: 0] += 1 }
}
