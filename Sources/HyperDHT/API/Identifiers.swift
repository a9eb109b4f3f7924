/// A connection of a node, from `connect` or an incoming one, until its `closed` event.
public struct ConnectionID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let number: UInt64
    public init(number: UInt64) { self.number = number }
    public static func < (a: ConnectionID, b: ConnectionID) -> Bool { a.number < b.number }
    public var description: String { "connection \(number)" }
}

/// A server of a node, from `listen` until its `serverClosed` event.
public struct ServerID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let number: UInt64
    public init(number: UInt64) { self.number = number }
    public static func < (a: ServerID, b: ServerID) -> Bool { a.number < b.number }
    public var description: String { "server \(number)" }
}

/// A lookup, announce, put, get or ping, from its command until its `finished` event.
public struct OperationID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let number: UInt64
    public init(number: UInt64) { self.number = number }
    public static func < (a: OperationID, b: OperationID) -> Bool { a.number < b.number }
    public var description: String { "operation \(number)" }
}

/// A question of the node to its owner: a firewall decision, a signature, a plugin's answer.
public struct QuestionID: Hashable, Comparable, Sendable {
    public let number: UInt64
    public init(number: UInt64) { self.number = number }
    public static func < (a: QuestionID, b: QuestionID) -> Bool { a.number < b.number }
}
