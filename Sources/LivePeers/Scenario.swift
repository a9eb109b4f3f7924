import Conformance

/// The script of a recording, run by two peers: named after the recording that it is held against.
public struct Scenario: Sendable {
    public let name: String
    /// Layers that both peers must have, in the contract's words.
    public let layers: [String]
    /// Commands that both must support.
    public let commands: [String]
    /// The script; throws what went wrong.
    public let run: @Sendable (ScenarioContext) throws -> Void

    init(_ name: String, layers: [String], commands: [String], run: @escaping @Sendable (ScenarioContext) throws -> Void) {
        self.name = name
        self.layers = layers
        self.commands = commands
        self.run = run
    }

    public static let all: [Scenario] = dht + connections + udx + streams + swarms

    /// Recordings that no live run is held against, and why.
    public static let notLive: [(name: String, reason: String)] = [
        ("udx-head-heartbeat", "made with libudx's own interface, which the contract does not have; replayed by `run`"),
        ("udx-head-zero-window", "made with libudx's own interface, which the contract does not have; replayed by `run`"),
        ("nat-*", "needs two routers: `natlab`"),
        ("kadepy-*", "not Hyperswarm"),
    ]
}
