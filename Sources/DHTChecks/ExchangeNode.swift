import SansIO
import StrictJSON

/// A datagram that the node under test sent.
struct ExchangeDatagram {
    var fromPort: UInt16
    var to: Endpoint
    var payload: [UInt8]
    /// 0: the system's (64).
    var timeToLive: UInt8
}

/// The node under test, as the exchange runner sees it: sockets are named by their ports, events have the form of the file.
protocol ExchangeNode: AnyObject {
    /// Binds and starts; `now` is the first instant.
    func start(at now: Instant) throws
    /// Local ports that are bound now.
    var boundPorts: Set<UInt16> { get }
    func receive(_ datagram: [UInt8], from source: Endpoint, atPort port: UInt16, at now: Instant)
    func advance(to now: Instant)
    var nextWakeUp: Instant { get }
    func takeDatagrams() -> [ExchangeDatagram]
    /// `{"type": "ready"}`, `{"type": "result", "of": name, "value": ...}` or `"error": ...`, `{"type": "connection", "of": ...}`, ...
    func takeEvents() -> [JSON]
    /// What the program calls on the node. Throws `ExchangeUnsupported` for a call that this node does not offer.
    func perform(_ call: JSON) throws
}

/// The node under test has no such call: the case does not run, which is not a pass.
struct ExchangeUnsupported: Error {
    let what: String
}
