import Logging

/// One logger a layer. What is logged is meant for finding faults: connections, handshakes and changes of state at `debug`, nothing for a single packet.
public struct Loggers: Sendable {
    public var socket = Logger(label: "hyperswarm.socket")
    public var udx = Logger(label: "hyperswarm.udx")
    public var secretStream = Logger(label: "hyperswarm.secret-stream")
    public var protomux = Logger(label: "hyperswarm.protomux")
    public var rpc = Logger(label: "hyperswarm.dht-rpc")
    public var dht = Logger(label: "hyperswarm.hyperdht")
    public var swarm = Logger(label: "hyperswarm.swarm")

    private static var layers: [WritableKeyPath<Loggers, Logger>] {
        [\.socket, \.udx, \.secretStream, \.protomux, \.rpc, \.dht, \.swarm]
    }

    /// Loggers of the application's logging system, at its level.
    public init() {}

    /// The same level for all layers.
    public init(level: Logger.Level) {
        for path in Loggers.layers { self[keyPath: path].logLevel = level }
    }

    /// One logger for all layers; `layer` in its metadata tells them apart.
    public init(_ logger: Logger) {
        for path in Loggers.layers {
            let layer = self[keyPath: path].label.dropFirst("hyperswarm.".count)
            self[keyPath: path] = logger
            self[keyPath: path][metadataKey: "layer"] = "\(layer)"
        }
    }
}
