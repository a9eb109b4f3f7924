/// What stands between a host of the NAT lab and the public network.
public enum NATLabRouter: String, Sendable {
    /// Plain routing: the host has a public address.
    case open
    /// Masquerade that keeps the port: every destination sees the same address. Unsolicited packets are dropped.
    case consistent
    /// Masquerade with a port drawn anew for every destination.
    case random
    /// Two consistent routers, one behind the other.
    case layers
}

/// One arrangement of the NAT lab, and what must come of a connect in it.
public struct NATLabCell: Sendable {
    public enum Expectation: Sendable {
        /// Connected, and a message echoed.
        case connects
        /// Given up by the rule for two random NATs.
        case aborts
    }

    /// A hindrance on the client's way out of its router.
    public enum Hindrance: String, Sendable {
        case loss, rate, delay
    }

    public let name: String
    /// In front of the host that dials.
    public let client: NATLabRouter
    /// In front of the host that listens.
    public let server: NATLabRouter
    /// Both hosts are in one network behind the client's router.
    public let isLAN: Bool
    /// A blind relay in the public network is named by both sides.
    public let hasRelay: Bool
    public let hindrance: Hindrance?
    public let expectation: Expectation

    init(
        _ name: String, _ client: NATLabRouter, _ server: NATLabRouter, isLAN: Bool = false, hasRelay: Bool = false,
        hindrance: Hindrance? = nil, _ expectation: Expectation = .connects
    ) {
        self.name = name
        self.client = client
        self.server = server
        self.isLAN = isLAN
        self.hasRelay = hasRelay
        self.hindrance = hindrance
        self.expectation = expectation
    }

    /// A cell is named after the client's router and then the server's, as the recordings are.
    public static let all: [NATLabCell] = [
        NATLabCell("consistent-consistent", .consistent, .consistent),
        NATLabCell("random-consistent", .random, .consistent),
        NATLabCell("consistent-random", .consistent, .random),
        NATLabCell("lan", .consistent, .consistent, isLAN: true),
        NATLabCell("open-open", .open, .open),
        NATLabCell("open-consistent", .open, .consistent),
        NATLabCell("consistent-open", .consistent, .open),
        NATLabCell("open-random", .open, .random),
        NATLabCell("random-open", .random, .open),
        NATLabCell("layers-consistent", .layers, .consistent),
        NATLabCell("layers-layers", .layers, .layers),
        NATLabCell("random-random", .random, .random, .aborts),
        NATLabCell("random-random-relay", .random, .random, hasRelay: true),
        NATLabCell("loss", .consistent, .consistent, hindrance: .loss),
        NATLabCell("rate", .consistent, .consistent, hindrance: .rate),
        NATLabCell("delay", .consistent, .consistent, hindrance: .delay),
    ]
}
