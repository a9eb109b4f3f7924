/// Plain counters of one node. dht-rpc.md section 14.
public struct NodeStatistics: Hashable, Sendable {
    /// Internal commands 0...4.
    public struct Command: Hashable, Sendable {
        public var sent = 0
        public var received = 0
    }

    public var queriesActive = 0
    public var queriesTotal = 0
    public var requestsActive = 0
    public var requestsTotal = 0
    public var responses = 0
    public var timeouts = 0
    public var retries = 0
    public var commands = [Command](repeating: Command(), count: InternalCommand.allCases.count)
    /// Requests of the application above.
    public var applicationRequests = 0
    public var unknownCommands = 0
    public var invalidTokens = 0
    public var bytesReceived = 0
    public var bytesSent = 0
    public var dropped: [Drop: Int] = [:]

    /// Why something that arrived was dropped.
    public enum Drop: String, Hashable, Sendable, CaseIterable, Comparable {
        case suspended, notIPv4, sourcePortZero, tooShort, unknownType, undecodable
        case unknownTransaction, wrongSource, wrongSocket
        case malformedValue, noTarget, delayTooLong, tooManyDelayedPings, sourceTooBusy

        public static func < (a: Drop, b: Drop) -> Bool { a.rawValue < b.rawValue }
    }

    public init() {}

    mutating func drop(_ reason: Drop) { dropped[reason, default: 0] += 1 }
}
