import Logging

/// One logger a layer. Nothing is logged for a packet above level trace.
public struct Loggers: Sendable {
    public var socket = Logger(label: "hyperswarm.socket")
    public var rpc = Logger(label: "hyperswarm.dht-rpc")
    public var dht = Logger(label: "hyperswarm.hyperdht")
    public var swarm = Logger(label: "hyperswarm.swarm")

    public init() {
        for path in [\Loggers.socket, \.rpc, \.dht, \.swarm] { self[keyPath: path].logLevel = .error }
    }

    /// The same level for all layers.
    public init(level: Logger.Level) {
        for path in [\Loggers.socket, \.rpc, \.dht, \.swarm] { self[keyPath: path].logLevel = level }
    }
}
