import CompactEncoding
import SansIO

/// One `join` of a topic. Several share the topic's discovery.
public struct SessionID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let number: UInt64
    public init(_ number: UInt64) { self.number = number }
    public var description: String { "session \(number)" }
    public static func < (a: SessionID, b: SessionID) -> Bool { a.number < b.number }
}

/// A connection or an attempt, outgoing or incoming. Named by the machine.
public struct ConnectionID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let number: UInt64
    public init(_ number: UInt64) { self.number = number }
    public var description: String { "connection \(number)" }
    public static func < (a: ConnectionID, b: ConnectionID) -> Bool { a.number < b.number }
}

/// Something that the machine asked the DHT for and waits for: a query, an unannounce, a server that listens, suspends or closes.
public struct OperationID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let number: UInt64
    public init(_ number: UInt64) { self.number = number }
    public var description: String { "operation \(number)" }
    public static func < (a: OperationID, b: OperationID) -> Bool { a.number < b.number }
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
