import CompactEncoding
import SansIO

/// One `join` of a topic. Several share the topic's discovery.
public struct SwarmSessionID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let number: UInt64
    public init(_ number: UInt64) { self.number = number }
    public var description: String { "session \(number)" }
    public static func < (a: SwarmSessionID, b: SwarmSessionID) -> Bool { a.number < b.number }
}

/// A connection or an attempt, outgoing or incoming. Named by the machine.
public struct SwarmConnectionID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let number: UInt64
    public init(_ number: UInt64) { self.number = number }
    public var description: String { "connection \(number)" }
    public static func < (a: SwarmConnectionID, b: SwarmConnectionID) -> Bool { a.number < b.number }
}

/// Something that the machine asked the DHT for and waits for: a query, an unannounce, a server that listens, suspends or closes.
public struct SwarmOperationID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let number: UInt64
    public init(_ number: UInt64) { self.number = number }
    public var description: String { "operation \(number)" }
    public static func < (a: SwarmOperationID, b: SwarmOperationID) -> Bool { a.number < b.number }
}

/// A peer as a DHT reply names it.
public struct FoundPeer: Hashable, Sendable {
    public var publicKey: Bytes32
    public var relayAddresses: [Endpoint]

    public init(publicKey: Bytes32, relayAddresses: [Endpoint] = []) {
        self.publicKey = publicKey
        self.relayAddresses = relayAddresses
    }
}
